"""Bits per pixel of image files."""

import math

import pytest
from PIL import Image
from skimage import data

from msdd.data.file_rates import rate

PICTURE = Image.fromarray(data.chelsea()[:64, :96])
BLUE = PICTURE.convert("RGBA")
BLUE.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
LOSSY = {
    "a.jpg": {},
    "b.webp": {},
    "exif.webp": {"exif": Image.Exif()},
    "c.avif": {},
    "named.png": {"format": "JPEG"},  # whatever the ending says
}
LOSSLESS = {
    "d.png": {},
    "e.webp": {"lossless": True},
    "profile.webp": {"lossless": True, "icc_profile": b"odd"},
    "f.bmp": {},
    "named.jpg": {"format": "PNG"},
}


@pytest.mark.parametrize("name", LOSSY)
def test_a_lossy_file_has_the_rate_of_all_its_bits(tmp_path, name):
    PICTURE.save(tmp_path / name, **LOSSY[name])
    bits = 8 * (tmp_path / name).stat().st_size
    assert rate(tmp_path / name, 64 * 96) == bits / (64 * 96)


def test_avif_is_told_by_any_of_its_brands(tmp_path):
    PICTURE.save(tmp_path / "a.avif")
    whole = (tmp_path / "a.avif").read_bytes()
    (tmp_path / "a.avif").write_bytes(whole.replace(b"ftypavif", b"ftypmif1", 1))
    assert rate(tmp_path / "a.avif", 6144) == 8 * len(whole) / 6144
    (tmp_path / "a.heic").write_bytes(whole.replace(b"avif", b"heic"))
    assert math.isnan(rate(tmp_path / "a.heic", 6144))


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_file_has_none(tmp_path, name):
    PICTURE.save(tmp_path / name, **LOSSLESS[name])
    assert math.isnan(rate(tmp_path / name, 64 * 96))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("frames", [[], [BLUE.rotate(9)]])
def test_webp_is_told_by_its_pixels(tmp_path, lossless, frames):
    """Behind a head of other chunks: transparency, and frames with chunks of their own."""
    more = {"save_all": True, "append_images": frames} if frames else {}
    BLUE.save(tmp_path / "a.webp", lossless=lossless, **more)
    assert (tmp_path / "a.webp").read_bytes()[12:16] == (
        b"VP8L" if lossless and not frames else b"VP8X"
    )
    assert math.isnan(rate(tmp_path / "a.webp", 6144)) == lossless


def test_a_file_that_ends_early_has_none(tmp_path):
    for kept in (b"", b"RIFF", b"RIFF\0\0\0\0WEBPVP8X\xff\xff\xff\xff"):
        (tmp_path / "a.webp").write_bytes(kept)
        assert math.isnan(rate(tmp_path / "a.webp", 6144))
