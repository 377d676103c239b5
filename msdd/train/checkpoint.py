"""The file of a training's checkpoint, and the previous one, which replaces a damaged one."""

import hashlib
import os
import sys
from pathlib import Path

import torch

from msdd.errors import MsddError
from msdd.files import atomic

DIGEST = hashlib.sha256().digest_size  # bytes behind what torch.save has written
PIECE = 2**20


def write(path: Path, content: memoryview) -> None:
    """Write what `torch.save` has made, with its digest. What stood at `path` is kept as `previous`
    once the new file has been read back.

    Raises MsddError if it does not read back as it was written.
    """
    with atomic(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())
        if not intact(temporary):
            raise MsddError(f"{path} does not read back as it was written: the disk is damaged")
        if path.exists():
            os.replace(path, previous(path))


def read(path: Path, key: str) -> dict | None:
    """The checkpoint at `path`, or the previous one if that is gone, damaged, or of another key
    than the previous one has; one of another key if no other is there, and None if none is.

    Which one it is, is told unless it is the one at `path`. Raises MsddError if all that is there
    is damaged: to start afresh may lose days.
    """
    damaged, others = [], []
    for one in (path, previous(path)):
        if not one.exists():
            continue
        if not intact(one):
            damaged.append(one)
            continue
        found = content(one)
        if found["key"] != key:
            others.append(found)
            continue
        if one != path and (damaged or others):
            why = "is damaged" if damaged else "is of other params, code or data"
            told = f"{path} {why}; going on from the one before, {one.name}"
            print(f"msdd: {told}", file=sys.stderr)
        return found
    if damaged and not others:
        names = " and ".join(map(str, damaged))
        raise MsddError(f"{names} damaged; delete to start this training afresh: {path.parent}")
    return others[0] if others else None


def content(path: Path) -> dict:
    """The content of an intact file, without running code in it. MsddError for any other file."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each form of file has its own
        raise foreign(path, error) from error
    if not isinstance(found, dict) or "key" not in found:
        raise foreign(path, TypeError("it has no key"))
    return found


def foreign(path: Path, error: Exception) -> MsddError:
    reason = " ".join(str(error).split()).partition("Weights only load")[0][:200]
    reason = reason or type(error).__name__
    return MsddError(
        f"{path} is no checkpoint of this training ({reason}); delete it to start afresh"
    )


def intact(path: Path) -> bool:
    """Whether the digest at the end of a file is that of all before it."""
    left, sha = path.stat().st_size - DIGEST, hashlib.sha256()
    with open(path, "rb") as file:
        while left > 0 and (piece := file.read(min(PIECE, left))):
            sha.update(piece)
            left -= len(piece)
        return left == 0 and file.read() == sha.digest()


def previous(path: Path) -> Path:
    return path.with_name(f"previous-{path.name}")


def remove(path: Path) -> None:
    """Delete both: the training is done."""
    for one in (path, previous(path)):
        one.unlink(missing_ok=True)
