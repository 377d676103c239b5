"""Samples of any depth and kind of transparency become the 8-bit levels that the file declares."""

import io
import struct
import zlib

import numpy as np
import pytest
from image_bytes import chunk, packed
from PIL import Image

from msdd.data.image_file import PhotographError, decode

SIDE = 16
RAMP = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) / (SIDE * SIDE - 1)
COLOUR = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
WHITE = [255, 255, 255]


def rgb(gray):
    return np.repeat(np.asarray(gray)[..., None], 3, -1)


def png(rows, bits, colour, *extra):
    """Rows of bytes, `SIDE` of them, as the PNG specification packs them."""
    head = struct.pack(">LLBBBBB", SIDE, SIDE, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", head), *extra, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_gray_of_any_depth_is_white(bits):
    top = 2**bits - 1
    levels = np.round(RAMP * top).astype(int)
    key = levels[3, 7]
    rows = [packed(row[None], bits) for row in levels]
    read = decode(png(rows, bits, 0, (b"tRNS", struct.pack(">H", key))), "a")
    gray = levels >> 8 if bits == 16 else levels * 255 // top
    assert np.array_equal(read, rgb(np.where(levels == key, 255, gray)))


@pytest.mark.parametrize("interlaced", [False, True])
def test_the_transparent_colour_of_sixteen_bits_is_compared_whole(interlaced):
    """Both pixels have the same high bytes; only one of them is the transparent colour."""
    deep = COLOUR.astype(np.uint16) << 8 | 7
    deep[0, 0], deep[0, 1] = (513, 514, 515), (513, 514, 516)
    rows = [row.astype(">u2").tobytes() for row in deep]
    file = png(rows, 16, 2, (b"tRNS", struct.pack(">HHH", 513, 514, 515)))
    expected = (deep >> 8).astype(np.uint8)
    expected[0, 0] = 255
    if interlaced:  # the same rows, written by the seven passes of Adam7
        file = adam7(deep, (513, 514, 515))
    assert np.array_equal(decode(file, "a"), expected)


def adam7(deep, key):
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
    starts.append((0, 1, 1, 2))  # x, y, step of x, step of y
    passes = [deep[y::dy, x::dx] for x, y, dx, dy in starts]
    data = b"".join(b"\0" + row.astype(">u2").tobytes() for part in passes for row in part)
    head = struct.pack(">LLBBBBB", SIDE, SIDE, 16, 2, 0, 0, 1)
    parts = [(b"IHDR", head), (b"tRNS", struct.pack(">HHH", *key))]
    parts += [(b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def bmp(alpha, masks):
    """32 bits a pixel by masks in a BITMAPV5HEADER, for red, green, blue and alpha."""
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    planes = [*np.moveaxis(COLOUR.astype(np.uint32), -1, 0), np.full((SIDE, SIDE), alpha)]
    words = sum(
        plane.astype(np.uint32) << shift for plane, shift in zip(planes, shifts, strict=True)
    )
    pixels = words[::-1].astype("<u4").tobytes()
    head = struct.pack("<LllHHLLllLL", 124, SIDE, SIDE, 1, 32, 3, len(pixels), 0, 0, 0, 0)
    head = (head + struct.pack("<LLLL4s", *masks, b"BGRs")).ljust(124, b"\0")
    size = 14 + len(head) + len(pixels)
    return struct.pack("<2sLHHL", b"BM", size, 0, 0, 14 + len(head)) + head + pixels


@pytest.mark.parametrize(
    "masks",
    [
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    ],
)
def test_an_alpha_of_zeros_in_a_bitmap_is_filling(masks):
    assert np.array_equal(decode(bmp(0, masks), "a"), COLOUR)
    half = COLOUR * (128 / 255) + 127  # what is not 0 everywhere is alpha
    assert np.abs(decode(bmp(128, masks), "a") - half).max() <= 1


def stored(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["TGA", "TIFF", "ICO"])
def test_a_fourth_sample_of_zeros_is_filling_where_formats_leave_it_open(kind):
    image = Image.fromarray(np.dstack([COLOUR, np.zeros((SIDE, SIDE), np.uint8)]))
    options = {"ICO": {"bitmap_format": "bmp"}}.get(kind, {})
    file = stored(image, kind, **options)
    if kind == "TIFF":  # Pillow declares alpha; another tag in place of ExtraSamples declares none
        assert np.array_equal(decode(file, "a"), np.full_like(COLOUR, 255))
        place = file.index(struct.pack("<HHL", 338, 3, 1))
        file = file[:place] + struct.pack("<H", 65000) + file[place + 2 :]
    assert np.array_equal(decode(file, "a"), COLOUR)


def targa(kind, bits, palette, pixels):
    head = struct.pack(
        "<BBB2HB4HBB",
        0,
        bool(palette),
        kind,
        0,
        len(palette) // 4,
        32 if palette else 0,
        0,
        0,
        SIDE,
        SIDE,
        bits,
        0x28,
    )  # from above, 8 bits of alpha
    return head + palette + pixels


def test_alpha_of_zeros_is_filling_in_gray_and_in_a_palette_too():
    levels = COLOUR[..., 0]
    gray = targa(3, 16, b"", np.dstack([levels, np.zeros_like(levels)]).tobytes())
    palette = b"".join(bytes([k, 255 - k, k // 2, 0]) for k in range(256))  # blue first
    assert np.array_equal(decode(gray, "a"), rgb(levels))
    read = decode(targa(1, 8, palette, levels.tobytes()), "a")
    assert np.array_equal(read, np.dstack([levels // 2, 255 - levels, levels]))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_declared_alpha_of_zeros_is_followed(kind):
    image = Image.fromarray(np.dstack([COLOUR, np.zeros((SIDE, SIDE), np.uint8)]))
    assert np.array_equal(
        decode(stored(image, kind, lossless=True), "a"), np.full_like(COLOUR, 255)
    )


@pytest.mark.parametrize("most", [1, 100, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P5", "P2"])
def test_portable_gray_maps_scale_by_their_own_maximum(most, kind):
    levels = np.round(RAMP * most).astype(int)
    data = levels.astype("u1" if most < 256 else ">u2").tobytes()
    if kind == "P2":
        data = " ".join(map(str, levels.ravel())).encode()
    read = decode(f"{kind} {SIDE} {SIDE} {most}\n".encode() + data, "a")
    assert np.abs(read - rgb(levels * 255 / most)).max() <= 1


def test_twelve_bits_of_jpeg_2000_are_scaled():
    """Only the depth in the header differs from 16 bits: it moves the middle of the levels."""
    levels = np.round(RAMP * 4095).astype(np.uint16)
    file = stored(Image.fromarray(levels + 32768 - 2048), "JPEG2000", irreversible=False)
    siz = file.index(b"\xff\x51")
    head = file.index(b"ihdr") + 4 + 10
    assert file[siz + 40] == file[head] == 15  # depth less 1, in the stream and in its wrapper
    file = bytearray(file)
    file[siz + 40] = file[head] = 11
    assert np.array_equal(decode(bytes(file), "a"), rgb(levels >> 4))


def test_significant_bits_of_a_png_change_nothing():
    """By the PNG specification samples are scaled to the whole depth, whatever sBIT says."""
    deep = np.round(RAMP * 4095).astype(np.uint16) << 4
    file = png([row.astype(">u2").tobytes() for row in deep], 16, 0, (b"sBIT", b"\x0c"))
    assert np.array_equal(decode(file, "a"), rgb(deep >> 8))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_samples_without_a_range_are_refused(mode):
    with pytest.raises(PhotographError, match="save it as 8 or 16 bit"):
        decode(stored(Image.new(mode, (4, 4), 1), "TIFF"), "a")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_image_is_taken(kind):
    first, second = (Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue"))
    file = stored(first, kind, save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(decode(file, "a"), np.broadcast_to([255, 0, 0], COLOUR.shape))


def test_avif_is_read():
    read = decode(stored(Image.new("RGB", (SIDE, SIDE), (200, 100, 50)), "AVIF"), "a").astype(int)
    assert np.abs(read - [200, 100, 50]).max() < 6
