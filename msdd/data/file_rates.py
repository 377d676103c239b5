"""What an image file costs: the bits of a lossy file per pixel."""

import math
from pathlib import Path
from typing import BinaryIO

JPEG = b"\xff\xd8\xff"
AVIF = {b"avif", b"avis"}  # brands
MOST = 4096  # bytes of a list of brands, which has some ten of 4


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
    if head[4:8] == b"ftyp":
        size = int.from_bytes(head[:4])
        return bool(AVIF & brands(head[8:], file.read(min(MOST, max(0, size - len(head))))))
    return head.startswith(JPEG)


def brands(major: bytes, rest: bytes) -> set[bytes]:
    """All brands of a file of boxes: its first one, and after its version those that it is also
    compatible with (ISO/IEC 14496-12, section 4.3)."""
    return {major, *(rest[k : k + 4] for k in range(4, len(rest), 4))}


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
