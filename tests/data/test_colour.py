"""Embedded profiles are ignored by default, and followed where conversion to sRGB is wanted."""

import io
import struct
import zlib

import numpy as np
import pytest
from image_bytes import SRGB, chunk, exchanged
from PIL import Image, ImageCms

from msdd.data.image_file import decode

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def stored(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_profile_is_followed_only_on_request(kind):
    file = stored(Image.fromarray(PIXELS), kind, icc_profile=exchanged(), lossless=True)
    assert np.array_equal(decode(file, "a"), PIXELS)
    difference = decode(file, "a", srgb=True).astype(int) - PIXELS[..., [1, 0, 2]]
    assert np.abs(difference).max() <= 1


def test_transparency_is_kept():
    alpha = np.full((16, 16, 1), 255, np.uint8)
    alpha[0] = 0
    image = Image.fromarray(np.concatenate([PIXELS, alpha], -1))
    read = decode(stored(image, "PNG", icc_profile=exchanged()), "a", srgb=True)
    assert (read[0] == 255).all()
    assert np.abs(read[1:].astype(int) - PIXELS[1:][..., [1, 0, 2]]).max() <= 1


def test_a_profile_above_the_limit_of_a_png_chunk_is_followed():
    """Bytes behind the tags of a profile mean nothing, and make it larger than a MiB."""
    profile = exchanged() + bytes(2**21)
    profile = struct.pack(">L", len(profile)) + profile[4:]
    file = stored(Image.fromarray(PIXELS), "PNG")
    large = chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))
    read = decode(file[:33] + large + file[33:], "a", srgb=True).astype(int)
    assert np.abs(read - PIXELS[..., [1, 0, 2]]).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "1", "P", "CMYK"])
@pytest.mark.parametrize("profile", ["broken", "short", "of another space", "none"])
def test_a_profile_that_does_not_fit_counts_as_none(mode, profile):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    icc = {"broken": b"no profile" * 20, "short": SRGB[:200], "of another space": lab, "none": None}
    image = Image.fromarray(PIXELS).convert(mode)
    file = stored(image, "TIFF" if mode in ("CMYK", "LA") else "PNG", icc_profile=icc[profile])
    assert np.array_equal(decode(file, "a", srgb=True), decode(file, "a"))


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_srgb_itself_changes_next_to_nothing(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    file = stored(image, "PNG", icc_profile=SRGB)
    read = decode(file, "a", srgb=True).astype(int)
    assert np.abs(read - np.asarray(image.convert("RGB"))).max() <= 1


def gray_profile():
    """ICC.1:2022, 8.4.2: a gray input profile with gamma 1 and the white point of D50."""
    white = b"XYZ " + bytes(4) + struct.pack(">lll", 63190, 65536, 54061)
    curve = b"curv" + bytes(4) + struct.pack(">LH2x", 1, 256)
    text = b"text" + bytes(4) + b"gray\0\0\0\0"
    tags, data, place = b"", b"", 132 + 4 * 12
    for name, value in ((b"wtpt", white), (b"kTRC", curve), (b"desc", text), (b"cprt", text)):
        tags += struct.pack(">4sLL", name, place + len(data), len(value))
        data += value
    head = bytearray(128)
    struct.pack_into(">L", head, 0, place + len(data))
    head[8:12], head[12:24], head[36:40] = b"\2\x10\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = white[8:]
    return bytes(head) + struct.pack(">L", 4) + tags + data


@pytest.mark.parametrize("deep", [False, True])
def test_linear_gray_is_encoded_by_the_curve_of_srgb(deep):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(levels.astype(np.uint16) * 257 if deep else levels)
    read = decode(stored(image, "PNG", icc_profile=gray_profile()), "a", srgb=True)
    linear = levels / 255
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read - 255 * curve[..., None]).max() <= 1.5
