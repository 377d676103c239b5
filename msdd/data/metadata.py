"""What a file says beside its pixels: orientation, colour profile; and the file without it."""

import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

Transpose = Image.Transpose
ORIENTATION = 0x0112
# EXIF 3.0, 4.6.5.1.9: what turns the stored rows upright.
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
JPEG, SCAN, APPLICATION = b"\xff\xd8", 0xDA, (*range(0xE0, 0xF0), 0xFE)  # 0xFE is a comment
# What decides colours or says which way is up: how it begins, and bytes that it has at least.
JPEG_DATA = ((b"JFIF\0", 14), (b"Adobe", 12), (b"ICC_PROFILE\0", 15), (b"Exif\0\0", 6))
JPEG_DATA += ((b"http://ns.adobe.com/xap/1.0/\0", 29),)
PNG = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp\0\0"  # of an iTXt chunk without compression
# Types of whole numbers in TIFF 6.0 and BigTIFF; EXIF 3.0 asks for 3, SHORT.
WHOLE = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q", 18: "Q"}
MAX_PROFILE = 64 * 2**20  # bytes; the largest real profiles have a few MiB


def upright(image: Image.Image, orientation: int) -> Image.Image:
    method = UPRIGHT.get(orientation)
    return image.transpose(method) if method is not None else image


def orientation(image: Image.Image) -> int:
    """1 to 8 by the EXIF block, else by XMP; 1 where neither can be read.

    Of TIFF, the reader has turned the pixels, except by a value of the type BYTE. Pillow's own
    parser of EXIF refuses whole blocks.
    """
    if image.format == "TIFF":
        value = image.getexif().get(ORIENTATION)
        return first(value) if isinstance(value, bytes) else 1
    found = in_exif(exif(image.info))
    return in_xmp(image.info) if found is None else found


def first(value: object) -> object:
    """The first of several values; what is no list stays."""
    return value[0] if isinstance(value, tuple | bytes) and value else value


def exif(info: dict) -> bytes:
    """The EXIF block; older programs write it into PNG as text of hexadecimal digits."""
    text = info.get("Raw profile type exif")
    if "exif" in info or not isinstance(text, str):
        return info.get("exif") or b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def in_exif(block: bytes) -> int | None:
    """The orientation of the first directory, whatever the other entries hold."""
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        return next(orientations(block, order), None)
    except struct.error:  # the directory ends before its end
        return None


def orientations(block: bytes, order: str) -> Iterator[int]:
    (start,) = struct.unpack_from(f"{order}L", block, 4)
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHL", block, place)
        if tag == ORIENTATION and kind in WHOLE:
            yield first_value(block, order, WHOLE[kind], values, place + 8)


def first_value(block: bytes, order: str, form: str, count: int, place: int) -> int:
    """The first value of a directory's entry; values of more than four bytes are at an offset."""
    if count * struct.calcsize(order + form) > 4:
        (place,) = struct.unpack_from(f"{order}L", block, place)
    return struct.unpack_from(order + form, block, place)[0]


def in_xmp(info: dict) -> int:
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    xmp = xmp if isinstance(xmp, bytes) else xmp.encode()
    found = re.search(rb'tiff:Orientation(?:=["\']|>)\s*([1-8])', xmp)
    return int(found[1]) if found else 1


def left_out(file: bytes) -> bytes | None:
    """The file without metadata that a decoder may stumble over; None for formats that need none.

    Pillow refuses a PNG whose profile or text has more than a MiB, or a wrong checksum, and an AVIF
    whose EXIF block is unreadable. It fails on markers of JPEG that are too short, which libjpeg
    passes over.
    """
    if file.startswith(JPEG):
        return b"".join(needed_segments(file))
    if file.startswith(PNG):
        return PNG + b"".join(chunk for kind, chunk in chunks(file) if is_needed(kind, chunk))
    if file[4:8] == b"ftyp":
        # The type of an item in ISO 14496-12's `infe` box, version 2; libavif skips unknown ones.
        return re.sub(rb"(infe\x02.{7})Exif", rb"\1free", file, flags=re.DOTALL)
    return None


def chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and whole bytes (length, type, data, checksum) of each chunk of a PNG."""
    place = len(PNG)
    while place + 8 <= len(file):
        length, kind = struct.unpack_from(">L4s", file, place)
        yield kind, file[place : place + length + 12]
        place += length + 12


def needed_segments(file: bytes) -> Iterator[bytes]:
    """A JPEG in parts, without comments and application data but whole ones of JPEG_DATA."""
    place = 2
    yield file[:place]
    while place + 4 <= len(file) and file[place] == 0xFF and file[place + 1] != SCAN:
        (length,) = struct.unpack_from(">H", file, place + 2)
        segment = file[place : place + 2 + length]
        place += len(segment)
        if segment[1] not in APPLICATION or is_whole(segment[4:]):
            yield segment
    yield file[place:]


def is_whole(data: bytes) -> bool:
    return any(data.startswith(head) and len(data) >= least for head, least in JPEG_DATA)


def png_profile(file: bytes) -> bytes | None:
    """The ICC profile of a PNG, up to 64 MiB; None if there is none, or none that unpacks."""
    if not file.startswith(PNG):
        return None
    packed = next((chunk[8:-4] for kind, chunk in chunks(file) if kind == b"iCCP"), b"")
    try:  # a name, a zero, the method of compression
        return zlib.decompressobj().decompress(packed[packed.find(b"\0") + 2 :], MAX_PROFILE)
    except zlib.error:
        return None


def is_needed(kind: bytes, chunk: bytes) -> bool:
    """Chunks about pixels, and whole ones with the orientation."""
    if kind[0:1].isupper() or kind == b"tRNS":
        return True
    whole = chunk[-4:] == struct.pack(">L", zlib.crc32(chunk[4:-4]))
    return whole and (kind == b"eXIf" or chunk[8:].startswith(XMP_KEYWORD))
