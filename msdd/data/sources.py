"""What a params file calls photographs: a folder of images, or archives of them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from msdd.data import image_file, parquet, remote, tars
from msdd.data.photograph import Photograph
from msdd.data.remote import Remote
from msdd.errors import MsddError
from msdd.files import expand_user
from msdd.listing import expanded, walk
from msdd.urls import is_url


@dataclass(frozen=True)
class Source:
    """The value of `data.photographs` or `data.held_out`, looked up where it lies; not yet opened.

    option, value: the key and its value, for errors.
    folder:   that holds everything.
    images:   names of image files below the folder; empty where there are archives.
    archives: tar and Parquet files, whole paths.
    others:   names of other files below the folder.
    listed:   of a folder in a store, what the listing told of each file, by its name.
    """

    option: str
    value: str
    folder: Path | Remote
    images: list[str]
    archives: list[Path] | list[Remote]
    others: list[str]
    listed: dict[str, Remote] = field(default_factory=dict)


def source(root: Path, value: str | Path, option: str) -> Source:
    """What lies at a folder, a tar or Parquet file, or several such files by a pattern or a URL.

    In a folder that has images, archives are files like others. MsddError for what is not there.
    """
    if is_url(value):
        return of_url(Remote(str(value)), option)
    path = expand_user(value, root)
    if path.is_dir():
        return of_folder(path, str(value), option)
    archives = expanded(path)
    check_archives(archives, str(value), option)
    folder = Path(os.path.commonpath([archive.parent for archive in archives]))
    return Source(option, str(value), folder, [], archives, [])


def of_url(url: Remote, option: str) -> Source:
    archives = remote.expanded(url)
    if archives == [url] and not is_archive(url) and remote.is_folder(url):
        return of_folder(url.resolve(), url.url, option, url.files())
    check_archives(archives, url.url, option)
    return Source(option, url.url, remote.common_folder(archives), [], archives, [])


def of_folder(
    folder: Path | Remote, value: str, option: str, listed: dict[str, Remote] | None = None
) -> Source:
    images, others = told_apart(walk(folder) if listed is None else listed)
    archives = [] if images else [name for name in others if is_archive(name)]
    if not images and not archives:
        raise no_image(value, others, option)
    taken = set(archives)
    others = [name for name in others if name not in taken]
    archives = [folder / name for name in archives]
    return Source(option, value, folder, images, archives, others, listed or {})


def is_archive(name: str | Path | Remote) -> bool:
    return tars.is_tar(name) or parquet.is_parquet(name)


def check_archives(archives: list[Path] | list[Remote], value: str, option: str) -> None:
    """A thousand shards in a store are asked for at once."""
    there = remote.ask_all(lambda path: path.is_file(), archives)
    missing = [path for path, is_there in zip(archives, there, strict=True) if not is_there]
    if archives == missing:
        kind = "archive" if is_archive(value) else "folder"
        raise MsddError(f"{option}: there is no {kind} {value}")
    if missing:
        raise MsddError(
            f"{option}: {len(missing)} of the {len(archives)} archives of {value} are not there; "
            f"the first is {missing[0]}"
        )
    for path in archives:
        if not is_archive(path):
            raise MsddError(
                f"{option}: {path} is no folder, and no archive that ends in .tar or .parquet; "
                "decompress it first if it is a compressed one"
            )


def photographs(source: Source) -> list[Photograph]:
    """All images of a source, sorted by name. MsddError for damaged archives and double names."""
    folder = str(source.folder)
    if source.listed and not source.archives:
        listed = ((name, source.listed[name]) for name in source.images)
        return [Photograph(n, folder, size=one.size, version=one.version) for n, one in listed]
    if not source.archives:
        return [Photograph(name, folder) for name in source.images]
    found = sorted(in_archives(source), key=lambda photograph: photograph.name)
    for one, other in zip(found, found[1:], strict=False):
        if one.name == other.name:
            held = dict.fromkeys((one.archive, other.archive))
            raise MsddError(
                f"{source.option}: two images in {' and '.join(held)} have the name {one.name}: "
                "rename or remove one"
            )
    if not found:
        raise MsddError(f"{source.option}: no image in the archives {source.value}")
    return found


def in_archives(source: Source) -> Iterator[Photograph]:
    """The images of all archives; of several archives, each has its own name before theirs."""
    listed = map(of_archive, source.archives)
    if isinstance(source.folder, Remote):  # an answer for each image is waited for
        listed = remote.ask_all(lambda path: list(of_archive(path)), source.archives)
    for path, found in zip(source.archives, listed, strict=True):
        stem = path.relative_to(source.folder).with_suffix("").as_posix()
        within = f"{stem}/" if len(source.archives) > 1 else ""
        for name, offset, size in found:
            yield Photograph(within + name, str(source.folder), str(path), offset, size)


def of_archive(path: Path | Remote) -> Iterator[tars.Member]:
    """Name, place and size of the images of one archive; rows of a Parquet file are numbered."""
    try:
        if parquet.is_parquet(path):
            yield from ((f"{row:08d}", row, 0) for row in range(parquet.rows(path)))
            return
        for name, offset, size in tars.members(path):
            if is_image(name):
                yield name, offset, size
    except OSError as error:
        raise MsddError(f"{path} cannot be read: {error.strerror or error}") from error


def is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in endings()


@cache
def endings() -> frozenset[str]:
    """Endings of the formats that this Pillow reads, with their dot."""
    formats = {*image_file.formats(), "MPO"}  # which opens as the JPEG that it begins with
    return frozenset(e for e, name in Image.registered_extensions().items() if name in formats)


def told_apart(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names of images and of other files."""
    images, others = [], []
    for name in names:
        (images if is_image(name) else others).append(name)
    return images, others


def no_image(folder: object, others: list[str], option: str) -> MsddError:
    seen = of_other_kinds(others) if others else "it holds no files"
    return MsddError(f"{option}: no image below the folder {folder}; {seen}")


def of_other_kinds(names: list[str]) -> str:
    """One line on files that are no images: how many of which ending, and the first of them."""
    kinds = Counter(os.path.splitext(name)[1].lower() or "without ending" for name in names)
    counted = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(5))
    first = f"{names[0]!r}" if len(names) == 1 else f"{names[0]!r} and others"
    return f"{len(names)} file{'s' * (len(names) != 1)} of other kinds ({counted}): {first}"
