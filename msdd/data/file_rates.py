"""What an image file costs: the bits of a lossy file per pixel."""

import math
from pathlib import Path
from typing import BinaryIO

JPEG = b"\xff\xd8\xff"
AVIF = (b"ftypavif", b"ftypavis")


def rate(path: Path, pixels: int) -> float:
    """Bits of the whole file, metadata and all, per pixel; NaN of a file that no lossy codec made.

    Lossy are JPEG, AVIF, and WebP with a chunk `VP8 ` (RFC 9649). PNG, and WebP of the lossless
    kind, hold copies of what a codec or a tokenizer made: their size says nothing of its rate.
    """
    with open(path, "rb") as file:
        return 8 * path.stat().st_size / pixels if is_lossy(file) else math.nan


def is_lossy(file: BinaryIO) -> bool:
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return first_picture(file) == b"VP8 "
    return head.startswith(JPEG) or head[4:] in AVIF


def first_picture(file: BinaryIO) -> bytes | None:
    """The kind of chunk that holds the pixels of a WebP file, opened at its first chunk."""
    while len(head := file.read(8)) == 8:
        if head[:4] in (b"VP8 ", b"VP8L"):
            return head[:4]
        if head[:4] == b"ANMF":
            file.seek(16, 1)  # of a frame: its place and time; its chunks follow
            continue
        size = int.from_bytes(head[4:], "little")
        file.seek(size + size % 2, 1)
    return None
