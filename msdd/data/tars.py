"""Tar archives of images, and archives of such archives, listed without being unpacked."""

import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from msdd.data.remote import Remote, ask_all, bare
from msdd.errors import MsddError

BLOCK = 512  # bytes; an archive ends with blocks of zeros
KINDS = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)  # files whose bytes lie in a row
WORDNET_ID = re.compile(r"(?<![A-Za-z0-9])n\d{8}(?!\d)")  # by which ImageNet names classes

Member = tuple[str, int, int]  # name, offset and size in bytes


def is_tar(name: str | Path | Remote) -> bool:
    return bare(name).lower().endswith(".tar")


def members(path: Path | Remote) -> Iterator[Member]:
    """All files in a tar file, with their places in it, those of archives inside it included.

    A file of an inner archive has that archive's name before its own: `n01440764/x.JPEG` in
    `n01440764.tar`. Hidden files and folders are left out, such as macOS adds; a hard link is the
    file that it names. MsddError for what is
    truncated, damaged or no tar file.
    """
    with path.open("rb") as file:
        found = plain(file, 0, file.seek(0, 2), str(path))
    archives = [one for one in found if is_tar(one[0])]
    images = [one for one in found if not is_tar(one[0])]
    for name, _, _ in images:
        check_class(str(path), path.stem, name)
    yield from images
    within = partial(inner, path)
    for some in ask_all(within, archives) if isinstance(path, Remote) else map(within, archives):
        yield from some


def inner(path: Path | Remote, archive: Member) -> list[Member]:
    """The files of an archive inside an archive, with its name before theirs."""
    name, offset, size = archive
    told, stem = f"{path}: {name} inside it", name[: -len(".tar")]
    with path.open("rb") as file:
        found = plain(file, offset, offset + size, told)
    for one, _, _ in found:
        check_class(told, stem, one)
    return [(f"{stem}/{one}", *place) for one, *place in found]


def plain(file: BinaryIO, start: int, end: int, told: str) -> list[Member]:
    """The files of one archive, by their names in it.

    `tarfile` begins where the file stands and stops at the first block that is no header, without
    a word if that is not its first byte (Python 3.11 to 3.14); so the end is looked at here.
    """
    file.seek(start)
    last, at = "", start
    found: list[Member] = []
    links: list[tuple[str, str]] = []
    try:
        archive = tarfile.TarFile(
            fileobj=file, mode="r", encoding="utf-8", errors="surrogateescape"
        )
        while (member := archive.next()) is not None:
            archive.members.clear()  # it would keep all of them
            if archive.offset <= at or member.size < 0:  # it would go round in circles
                raise damage(told, last, at)
            last, at = member.name, archive.offset
            if member.offset_data + member.size > end:
                raise damage(told, last, at)
            name = bare_name(member.name)
            if member.type == tarfile.LNKTYPE and not is_hidden(name):
                links.append((name, bare_name(member.linkname)))
            elif member.type in KINDS and not member.issparse() and not is_hidden(name):
                found.append((name, member.offset_data, member.size))
        at = archive.offset
    except (MsddError, OSError):
        raise
    except Exception as error:  # headers can be wrong in more ways than tarfile has errors for
        raise damage(told, last, at) from error
    if at + BLOCK > end or not is_end(file, at):
        raise damage(told, last, at)
    places = {name: place for name, *place in found} if links else {}
    return found + [(name, *places[of]) for name, of in links if of in places]


def bare_name(name: str) -> str:
    return name.removeprefix("./")


def is_hidden(name: str) -> bool:
    """Whether a part of it begins with a dot, as what macOS adds and folders of thumbnails."""
    return any(part.startswith(".") for part in name.split("/"))


def is_end(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(BLOCK) == bytes(BLOCK)


def damage(told: str, last: str, at: int) -> MsddError:
    if not last:
        return MsddError(f"{told} is no tar archive (compressed ones are not read): fetch it again")
    return MsddError(
        f"{told} is truncated or damaged near byte {at:,}, at or after its member {last}: fetch it "
        "again"
    )


def check_class(told: str, stem: str, name: str) -> None:
    """An archive of a class of ImageNet holds images of that class alone."""
    of_archive, of_image = WORDNET_ID.fullmatch(stem), WORDNET_ID.match(name)
    if of_archive and of_image and of_archive[0] != of_image[0]:
        raise MsddError(
            f"{told} is the archive of class {of_archive[0]} and holds {name}, of another class: "
            "fetch it again, or rename it if the class is not meant"
        )
