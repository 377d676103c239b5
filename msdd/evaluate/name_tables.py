"""What is known of images by their names: ImageNet classes, and tables that a protocol names."""

import csv
import json
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath

from msdd.data.image_folder import composed_form
from msdd.data.sources import is_image
from msdd.data.tars import WORDNET_ID
from msdd.errors import MsddError
from msdd.files import expand_user, stamp
from msdd.params.plain_yaml import read_yaml

TEXT = "utf-8-sig"  # with the mark that spreadsheets begin it with, or without


@cache
def class_ids() -> dict[str, int]:
    """The numbers 0 to 999 of ImageNet-1K's classes by WordNet id."""
    with resources.as_file(resources.files("msdd.evaluate") / "imagenet_classes.yaml") as path:
        return {name: number for number, name in enumerate(read_yaml(path))}


def labels(names: Sequence[str], table: str | None) -> list[int | None]:
    """The class of each image by its name: by the table, or by the first WordNet id of ImageNet-1K
    in its folders and its name (`n01440764/17`, `n01440764_tench`); None where there is none."""
    if table is not None:
        known = read_classes(table)
        return [known.get(name) for name in names]
    return [class_in(name) for name in names]


def class_in(name: str) -> int | None:
    found = (class_ids().get(match) for match in WORDNET_ID.findall(name))
    return next((number for number in found if number is not None), None)


def read_classes(path: str) -> dict[str, int]:
    return classes_at(path, changed(path))


@lru_cache(maxsize=8)
def classes_at(path: str, at: tuple[int, ...]) -> dict[str, int]:
    return {name: class_of(value, path, name) for name, value in table_at(path, at).items()}


def class_of(value: str, path: str, name: str) -> int:
    if value in class_ids():
        return class_ids()[value]
    if value.isdecimal() and int(value) < len(class_ids()):
        return int(value)
    raise MsddError(
        f"{path}: the class of {name} is {ascii(value)[:60]}; write a WordNet id of ImageNet-1K, "
        "such as n01440764, or its number, 0 to 999"
    )


def read_table(path: str) -> dict[str, str]:
    """Texts by name, of a .json file with one object, or of a .csv file with two columns and no
    heading. Endings of images' names are left out, and letters composed, as in a set's names.

    MsddError for another form, and for a name that comes twice.
    """
    return table_at(path, changed(path))


@lru_cache(maxsize=8)
def table_at(path: str, _changed: tuple[int, ...]) -> dict[str, str]:
    """A table as it was at a time."""
    file = expand_user(path)
    try:
        rows = read_json_rows(file) if file.suffix == ".json" else read_csv_rows(file)
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise unreadable(path, error) from error
    return by_name(rows, path)


def changed(path: str) -> tuple[int, ...]:
    try:
        return stamp(expand_user(path))
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> MsddError:
    reason = getattr(error, "strerror", None) or str(error)
    return MsddError(f"{path} cannot be read as a table of names ({reason})")


def read_json_rows(file: Path) -> list[tuple[str, str]]:
    value = json.loads(file.read_text(encoding=TEXT))
    if not isinstance(value, dict) or not all(isinstance(x, str | int) for x in value.values()):
        raise ValueError("it must be one object of texts by name")
    return [(name, str(text)) for name, text in value.items()]


def read_csv_rows(file: Path) -> list[tuple[str, str]]:
    with open(file, encoding=TEXT, newline="") as lines:
        rows = [row for row in csv.reader(lines, strict=True) if row]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ValueError(f"row {number} has {len(row)} columns; it must be: name,value")
    return [(name, text) for name, text in rows]


def by_name(rows: Sequence[tuple[str, str]], path: str) -> dict[str, str]:
    table: dict[str, str] = {}
    for written, text in rows:
        name = composed_form(stem(written.strip()))
        if name in table:
            raise MsddError(f"{path}: {written} comes twice, apart from its ending")
        table[name] = text.strip()
    return table


def stem(name: str) -> str:
    """Without the ending of an image's file."""
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if is_image(name) else name
