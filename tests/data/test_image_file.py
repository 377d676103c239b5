"""Every way to store a picture gives the same upright RGB pixels."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from msdd.data.image_file import PhotographError, decode
from msdd.data.photographs import read_photograph
from msdd.data.sources import endings
from msdd.errors import MsddError

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


def test_only_adobe_inverts_the_inks_of_a_jpeg(tmp_path):
    file = saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (255, 0, 0, 0)), quality=100)
    file = file.read_bytes()
    marker = file.index(b"\xff\xee\0\x0eAdobe")
    plain = file[:marker] + file[marker + 16 :]
    assert decode(file, "a")[0, 0].tolist() == [0, 255, 255]  # cyan
    assert decode(plain, "a")[0, 0].tolist() == [0, 0, 0]  # the other inks, and black


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
    [
        (b"", "an empty file"),
        (b"<html>", "not an image of a known format"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "a HEIC file.*save it as PNG"),
        (b"II*\0" + bytes(10), "a TIFF without an image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "PNG file, damaged"),
    ],
)
def test_what_is_no_image_says_so(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PhotographError, match=reason):
        read_photograph(tmp_path / "a.png")


@pytest.mark.parametrize(
    "file",
    [
        struct.pack(">4sH6xHLLHH14x", b"8BPS", 1, 4, 4, 4, 8, 3) + b"\xc8" * 48 + bytes(16),
        struct.pack(">8L", 0x59A66A95, 4, 4, 32, 64, 1, 0, 0) + b"\0\0\0\xff" * 16,
        b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {\n0xff};\n",
    ],
    ids=["a selection in PSD", "a red SUN raster", "a black XBM"],
)
def test_what_pillow_would_read_as_another_picture_is_refused(tmp_path, file):
    (tmp_path / "a.png").write_bytes(file)
    Image.open(tmp_path / "a.png").load()
    with pytest.raises(PhotographError, match="not an image of a known format"):
        read_photograph(tmp_path / "a.png")
    assert not {".psd", ".ras", ".xbm"} & endings()


def test_unbounded_pixels_are_refused(tmp_path):
    file = saved(tmp_path / "a.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(PhotographError, match="mode F"):
        read_photograph(file)


def test_an_image_above_the_limit_is_refused_in_plain_words(tmp_path, monkeypatch, recwarn):
    file = saved(tmp_path / "a.png", Image.new("RGB", (20, 10)))
    monkeypatch.setenv("MSDD_MAX_PIXELS", "200")
    assert read_photograph(file).shape == (10, 20, 3)
    for limit, pillow in (("199", 199), ("10", 199), ("10", None)):  # Pillow's own is its user's
        monkeypatch.setenv("MSDD_MAX_PIXELS", limit)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillow)
        with pytest.raises(PhotographError, match=f"more than {limit} pixels.*MSDD_MAX_PIXELS"):
            read_photograph(file)
        assert pillow == Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setenv("MSDD_MAX_PIXELS", "200")
    assert read_photograph(file).shape == (10, 20, 3)
    monkeypatch.setenv("MSDD_MAX_PIXELS", "many")
    with pytest.raises(MsddError, match="MSDD_MAX_PIXELS: 'many' is no number of pixels"):
        read_photograph(file)


def huge(kind):
    """Some 100 bytes that declare 60,000 x 60,000 pixels."""
    side = 60_000
    if kind == "png":
        head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunk = struct.pack(">I", 13) + b"IHDR" + head
        data = chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + bytes(3) + b"\1IDATx\x9c\0\0\0"
        return b"\x89PNG\r\n\x1a\n" + data
    if kind == "bmp":
        head = struct.pack("<LllHHLLllLL", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        return struct.pack("<2sLHHL", b"BM", 54, 0, 0, 54) + head
    if kind == "gif":
        return b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0) + b",\0\0\0\0" + bytes(20)
    deep = kind == "tif"  # 10 bits: Pillow does not open it, tifffile does
    tags = [(256, side), (257, side), (258, 10 if deep else 8), (262, 1), (273, 8), (279, 9)]
    return (
        b"II*\0"
        + struct.pack("<LH", 8, len(tags))
        + b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags)
        + bytes(4)
    )


@pytest.mark.parametrize("kind", ["png", "bmp", "gif", "tif", "tif8"])
def test_declared_sizes_take_no_memory(kind):
    tracemalloc.start()
    with pytest.raises(PhotographError, match="more than 178,956,970 pixels"):
        decode(huge(kind), "a")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_a_jpeg_of_twelve_bits_says_what_it_is(tmp_path):
    file = saved(tmp_path / "a.jpg", Image.fromarray(CORNERS)).read_bytes()
    place = file.index(b"\xff\xc0") + 4
    with pytest.raises(PhotographError, match="JPEG file.*12-bit.*as PNG"):
        decode(file[:place] + b"\x0c" + file[place + 1 :], "a")
