"""Params, protocols and published numbers, for `fuzz_targets`."""

from contextlib import suppress
from functools import cache
from pathlib import Path

import yaml

from msdd.errors import MsddError
from msdd.evaluate import protocols
from msdd.params import presets
from msdd.params.load import load
from msdd.params.schema import Params
from msdd.pipeline import jobs
from msdd.report import published


@cache
def params() -> list[bytes]:
    return [presets.find(name, Path(".")).read_bytes() for name in ("tiny", "ssdd")]


def rows() -> list[bytes]:
    return [jobs.text(tiny()).encode()]


@cache
def tiny() -> Params:
    return load(presets.find("tiny", Path(".")))


def read_rows(path: Path) -> None:
    """As every stage does, and `msdd params expand`, which writes it anew."""
    root = path.parents[1]
    with suppress(MsddError):
        jobs.check_rows(tiny(), root)
    jobs.expand(tiny(), root)
    jobs.check_rows(tiny(), root)


def protocol_files() -> list[bytes]:
    known = protocols.builtin()
    own = {"mine": {"base": "primary", "crop": "adm"}, "other": known["primary"]}
    return [yaml.safe_dump(own).encode(), yaml.safe_dump({"one": known["dito"]}).encode()]


def read_protocols(path: Path) -> None:
    protocols.load([str(path)])


def published_files() -> list[bytes]:
    return [published.place(Path(".")).read_bytes()]


def read_published(path: Path) -> None:
    published.read(path.parents[1])
