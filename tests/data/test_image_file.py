"""Every way to store a picture gives the same upright RGB pixels."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from msdd.data.image_file import PhotographError, read_photograph

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
CORNERS = np.array([[RED, GREEN, RED], [BLUE, WHITE, WHITE]], np.uint8)


def png16(path, pixels):
    """A 16-bit PNG of (H, W) or (H, W, C), which Pillow cannot write in colour."""
    height, width = pixels.shape[:2]
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[pixels[0, 0].size]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "webp"])
def test_colour_is_kept(tmp_path, extension):
    file = saved(tmp_path / f"a.{extension}", Image.fromarray(CORNERS), lossless=True)
    read = read_photograph(file)
    assert read.dtype == np.uint8 and np.array_equal(read, CORNERS)


def test_gray_becomes_three_equal_channels(tmp_path):
    gray = np.array([[0, 10], [100, 255]], np.uint8)
    expected = np.repeat(gray[..., None], 3, axis=-1)
    assert np.array_equal(
        read_photograph(saved(tmp_path / "a.png", Image.fromarray(gray))), expected
    )
    bits = Image.fromarray(gray > 50)
    assert read_photograph(saved(tmp_path / "b.png", bits))[..., 1].tolist() == [[0, 0], [255, 255]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_white(tmp_path, mode):
    half = np.array([[[0, 0, 0, 255], [0, 0, 0, 51], [0, 0, 0, 0]]], np.uint8)
    image = Image.fromarray(half).convert(mode) if mode != "P" else palette_of(half)
    read = read_photograph(saved(tmp_path / "a.png", image))
    assert read.tolist() == [[[0] * 3, [204] * 3, [255] * 3]]


def palette_of(rgba):
    image = Image.fromarray(np.arange(rgba.shape[1], dtype=np.uint8)[None], "P")
    image.putpalette(rgba.reshape(-1).tolist(), "RGBA")
    return image


def test_palette_without_transparency(tmp_path):
    image = Image.fromarray(CORNERS).quantize(4)
    assert np.array_equal(read_photograph(saved(tmp_path / "a.png", image)), CORNERS)


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    gray = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    expected = [[[k] * 3 for k in (0, 1, 128, 255)]]
    assert read_photograph(png16(tmp_path / "a.png", gray)).tolist() == expected
    for order in "<>":
        tifffile.imwrite(tmp_path / "b.tif", gray.astype(f"{order}u2"), byteorder=order)
        assert read_photograph(tmp_path / "b.tif").tolist() == expected


def test_sixteen_bit_colour(tmp_path):
    deep = CORNERS.astype(np.uint16) * 257
    opaque = np.concatenate([deep, np.full((2, 3, 1), 65535, np.uint16)], axis=-1)
    assert np.array_equal(read_photograph(png16(tmp_path / "a.png", deep)), CORNERS)
    assert np.array_equal(read_photograph(png16(tmp_path / "b.png", opaque)), CORNERS)
    tifffile.imwrite(tmp_path / "c.tif", deep, photometric="rgb")
    assert np.array_equal(read_photograph(tmp_path / "c.tif"), CORNERS)


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_cmyk_is_not_inverted(tmp_path, kind):
    """Pillow writes CMYK JPEGs as Adobe does, inverted and marked so."""
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))  # cyan
    inks.paste((0, 0, 0, 255), (8, 0, 16, 16))  # black
    options = {"quality": 100} if kind == "jpg" else {}
    file = saved(tmp_path / f"a.{kind}", inks, **options)
    assert kind != "jpg" or b"Adobe" in file.read_bytes()
    read = read_photograph(file).astype(int)
    assert abs(read[4, 2] - (0, 255, 255)).max() < 4 and read[4, 13].max() < 4


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(tmp_path, kind, orientation):
    stored = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation](CORNERS)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored))
    file = saved(tmp_path / f"a.{kind}", image, exif=exif, lossless=True)
    assert np.array_equal(read_photograph(file), CORNERS)


def damaged(tmp_path, kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = saved(tmp_path / f"whole.{kind}", noise).read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(whole[: len(whole) // 2])
    return tmp_path / f"a.{kind}"


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "bmp", "tif"])
def test_truncated_files_are_refused(tmp_path, kind):
    with pytest.raises(PhotographError) as caught:
        read_photograph(damaged(tmp_path, kind))
    assert caught.value.kind == "unreadable" and str(tmp_path) not in caught.value.reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "an empty file"), (b"<html>", "not an image of a known format"), (None, "No such file")],
)
def test_what_is_no_image_says_so(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PhotographError, match=reason):
        read_photograph(tmp_path / "a.png")


def test_unbounded_pixels_are_refused(tmp_path):
    file = saved(tmp_path / "a.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(PhotographError, match="mode F"):
        read_photograph(file)
