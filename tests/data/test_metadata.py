"""What a file says beside its pixels never costs the picture, and turns it if it can be read."""

import io
import struct
import zlib

import numpy as np
import pytest
from image_bytes import chunk, packed, tiff
from PIL import Image, PngImagePlugin

from msdd.data.image_file import PhotographError, decode
from msdd.data.metadata import chunks

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}
XMP = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def stored(kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, kind, lossless=True, **options)
    return buffer.getvalue()


def exif(*entries, order="<"):
    """A directory of entries: tag, type, count, and the four bytes of a value or its place."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}LH", 8, len(entries))
    body = b"".join(struct.pack(f"{order}HHL", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + head + body + bytes(4)


def orientation(value, order="<"):
    return 0x0112, 3, 1, struct.pack(f"{order}Hxx", value)


FAR = struct.pack("<L", 99999)
BROKEN = {
    "no header": b"Exif\0\0these bytes are no TIFF header",
    "no directory": b"Exif\0\0II*\0" + FAR,
    "empty": b"Exif\0\0",
    "cut short": exif(orientation(6))[:17],
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("broken", BROKEN)
def test_exif_that_cannot_be_read_counts_as_none(kind, broken):
    plain = stored(kind, dpi=(72, 72))
    file = with_exif(plain, kind, BROKEN[broken])
    assert np.array_equal(decode(file, "a"), decode(plain, "a"))


def with_exif(file, kind, block):
    """The block put in by hand, as Pillow does not write what it cannot read."""
    if kind == "JPEG":
        return file[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + file[2:]
    if kind == "PNG":
        return file[:33] + chunk(b"eXIf", block[6:]) + file[33:]
    vp8x = (
        struct.pack("<4sLL", b"VP8X", 10, 8)
        + (15).to_bytes(3, "little")
        + (7).to_bytes(3, "little")
    )
    body = b"WEBP" + vp8x + file[12:] + struct.pack("<4sL", b"EXIF", len(block)) + block
    body += b"\0" * (len(block) % 2)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def test_exif_of_an_avif_that_cannot_be_read_counts_as_none():
    maker = (0x010F, 2, 4, b"abc\0")
    plain = stored("AVIF", exif=exif(maker))
    broken = plain.replace(exif(maker)[6:], b"xx" + exif(maker)[8:])
    assert broken != plain and np.array_equal(decode(broken, "a"), decode(plain, "a"))


NEIGHBOURS = {
    "a text far away": (0x010F, 2, 100, FAR),
    "a type that does not exist": (0x010F, 77, 1, FAR),
    "a negative place": (0x010F, 2, 2**32 - 1, b"\xff" * 4),
    "a number that is no number": (0x011A, 5, 1, FAR),
    "a directory far away": (0x8769, 4, 1, FAR),
    "a pair for a text": (0x0131, 5, 1, struct.pack("<L", 8)),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_orientation_is_followed_beside_anything(kind, neighbour):
    block = exif(NEIGHBOURS[neighbour], orientation(6))
    assert np.array_equal(decode(with_exif(stored(kind), kind, block), "a"), UPRIGHT[6](PIXELS))


NUMBERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l", 13: "L", 16: "Q", 17: "q", 18: "Q"}


def entry_of(kind, count, place, order):
    """An orientation of 6 as so many numbers of a type, and what of it stands at a place."""
    values = struct.pack(f"{order}{count}{NUMBERS[kind]}", *[6] * count)
    inline = len(values) <= 4
    where = values.ljust(4, b"\0") if inline else struct.pack(f"{order}L", place)
    return (0x0112, kind, count, where), b"" if inline else values


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("kind", NUMBERS)
def test_an_orientation_is_a_whole_number_of_any_type(kind, count, order):
    entry, beyond = entry_of(kind, count, 26, order)
    block = exif(entry, order=order) + beyond
    for of in ("PNG", "WEBP"):
        assert np.array_equal(decode(with_exif(stored(of), of, block), "a"), UPRIGHT[6](PIXELS))


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("kind", NUMBERS)
def test_an_orientation_of_a_tiff_is_a_whole_number_of_any_type(kind, bits):
    """Read by Pillow or by tifffile. Pillow 13.0.0 knows no signed LONG8 and no IFD8."""
    gray = PIXELS[..., 0]
    data = gray.tobytes() if bits == 8 else packed(gray.astype(int) << 2, 10)
    file = tiff(data, bits, 1, size=(16, 8), t274=6)
    place = file.index(struct.pack("<HHL", 274, 3, 1))
    (_, *head, where), beyond = entry_of(kind, 1, len(file), "<")
    entry = struct.pack("<HHL", 274, *head) + where
    read = decode(file[:place] + entry + file[place + 12 :] + beyond, "a")
    if bits == 8 and kind > 16:
        assert np.array_equal(read[..., 0], gray)
    else:
        assert np.array_equal(read[..., 0], UPRIGHT[6](gray))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("value", UPRIGHT)
def test_all_orientations_in_both_byte_orders(value, order):
    file = with_exif(stored("PNG"), "PNG", exif(orientation(value, order), order=order))
    assert np.array_equal(decode(file, "a"), UPRIGHT[value](PIXELS))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_xmp_tells_the_orientation_where_exif_does_not(kind):
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        file = stored(kind, pnginfo=info)
    else:
        file = stored(
            kind, **{"WEBP": {"xmp": XMP.encode()}, "TIFF": {"tiffinfo": {700: XMP.encode()}}}[kind]
        )
    assert np.array_equal(decode(file, "a"), UPRIGHT[6](PIXELS))
    if kind == "PNG":
        broken = with_exif(file, kind, BROKEN["no header"])
        assert np.array_equal(decode(broken, "a"), UPRIGHT[6](PIXELS))


SHORT = {  # the number of an application segment and what is in it
    "profile": (2, b"ICC_PROFILE\0"),
    "JFIF": (0, b"JFIF\0"),
    "Adobe": (14, b"Adobe"),
    "Photoshop": (13, b"Photoshop 3.0\0008BIM\x04\x04"),
}


@pytest.mark.parametrize("kind", SHORT)
def test_short_segments_of_a_jpeg_cost_nothing(kind):
    """Pillow 13.0.0 fails on the first three; the orientation is followed all the same."""
    number, data = SHORT[kind]
    plain = with_exif(stored("JPEG"), "JPEG", exif(orientation(6)))
    segment = struct.pack(">HH", 0xFFE0 + number, len(data) + 2) + data
    assert np.array_equal(decode(plain[:2] + segment + plain[2:], "a"), decode(plain, "a"))


@pytest.mark.parametrize("tag", [700, 271, 305, 0x8769, 0x8825, 33723])
def test_odd_tags_of_a_tiff_cost_nothing(tag):
    """XMP that is a number made Pillow 13.0.0 fail; the orientation is followed all the same."""
    file = stored("TIFF", tiffinfo={274: 6, 65000: 1})
    place = file.index(struct.pack("<H", 65000), 8)
    for kind, count in ((5, 1), (12, 2), (2, 2**31), (99, 1)):
        odd = file[:place] + struct.pack("<HHL", tag, kind, count) + FAR + file[place + 12 :]
        assert np.array_equal(decode(odd, "a"), UPRIGHT[6](PIXELS))


MANY = zlib.compress(bytes(3 * 2**20))  # more than Pillow unpacks of one chunk


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"zTXt", b"Comment\0\0" + MANY),
        (b"iTXt", b"Comment\0\1\0\0\0" + MANY),
        (b"iCCP", b"profile\0\0" + MANY),
        (b"tEXt", b"Comment\0" + b"x" * (65 * 2**20)),
        (b"zTXt", b"Comment\0\7" + MANY),
        (b"gAMA", b"\0"),
    ],
    ids=["zTXt", "iTXt", "iCCP", "tEXt", "method", "short"],
)
def test_large_and_odd_chunks_of_a_png_cost_nothing(kind, data, after):
    info = PngImagePlugin.PngInfo()
    info.add(kind, data, after_idat=after)
    turned = exif(orientation(6))
    assert np.array_equal(decode(stored("PNG", pnginfo=info, exif=turned), "a"), UPRIGHT[6](PIXELS))


def test_a_wrong_checksum_matters_only_where_pixels_are():
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "words")
    file = stored("PNG", pnginfo=info)
    assert np.array_equal(decode(file.replace(b"words", b"wards"), "a"), PIXELS)
    place = file.index(b"IDAT") + 9
    with pytest.raises(PhotographError):
        decode(file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :], "a")


@pytest.mark.parametrize(
    ("kind", "matters"), [(b"IHDR", True), (b"PLTE", True), (b"IDAT", False), (b"IEND", False)]
)
def test_which_checksums_of_a_png_matter(kind, matters):
    """Pixels have another one of their own, inside what they are packed in."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).quantize(16).save(buffer, "PNG")
    file = buffer.getvalue()
    (whole,) = (data for name, data in chunks(file) if name == kind)
    broken = file.replace(whole, whole[:-1] + bytes([whole[-1] ^ 1]))
    if matters:
        with pytest.raises(PhotographError, match="checksum"):
            decode(broken, "a")
    else:
        assert np.array_equal(decode(broken, "a"), decode(file, "a"))
