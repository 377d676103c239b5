"""Embedded profiles are ignored by default, and followed where conversion to sRGB is wanted."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
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


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
def test_a_profile_of_a_tiff_with_alpha_is_followed(planes, alpha):
    samples = np.concatenate([PIXELS, np.full((16, 16, 1), 255, np.uint8)], -1)
    stored = np.moveaxis(samples, -1, 0) if planes == "separate" else samples
    how = {"photometric": "rgb", "planarconfig": planes, "extrasamples": [alpha]}
    tifffile.imwrite(file := io.BytesIO(), stored, iccprofile=exchanged(), **how)
    read = decode(file.getvalue(), "a", srgb=True)
    assert np.abs(read.astype(int) - PIXELS[..., [1, 0, 2]]).max() <= 1


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


def profile(space, connection, **tags):
    """ICC.1:2001-04, clause 6: a printer profile with these tags beside the four required ones."""
    white = b"XYZ " + bytes(4) + struct.pack(">lll", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"mine" + bytes(4)
    all_tags = {"wtpt": white, "desc": text, "cprt": text} | tags
    table, data, place = b"", b"", 132 + 12 * len(all_tags)
    for name, value in all_tags.items():
        table += struct.pack(">4sLL", name.encode(), place + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = bytearray(128)
    struct.pack_into(">L", head, 0, place + len(data))
    head[8:12], head[12:24], head[36:40] = b"\2\x10\0\0", b"prtr" + space + connection, b"acsp"
    head[68:80] = white[8:]
    return bytes(head) + struct.pack(">L", len(all_tags)) + table + data


def encoded(linear):
    """The curve of sRGB (IEC 61966-2-1), from 0 to 255."""
    return 255 * np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    )


@pytest.mark.parametrize("deep", [False, True])
def test_linear_gray_is_encoded_by_the_curve_of_srgb(deep):
    linear = profile(b"GRAY", b"XYZ ", kTRC=b"curv" + bytes(4) + struct.pack(">LH2x", 1, 256))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(levels.astype(np.uint16) * 257 if deep else levels)
    read = decode(stored(image, "PNG", icc_profile=linear), "a", srgb=True)
    assert np.abs(read - encoded(levels / 255)[..., None]).max() <= 1


@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_inks_become_the_lightness_that_their_profile_says(kind):
    """No ink is white and each ink alone black; between them L* is linear in black ink."""
    corners = np.array([[100 * (not any(corner)), 0, 0] for corner in np.ndindex(2, 2, 2, 2)])
    grid = (corners * [2.55, 1, 1] + [0, 128, 128]).astype(np.uint8).tobytes()
    straight = bytes(range(256))
    matrix = struct.pack(">9l", *(np.eye(3, dtype=int) * 65536).ravel())
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + straight * 4 + grid + straight * 3
    inks = Image.merge("CMYK", [Image.new("L", (16, 256))] * 3 + [ramp()])
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    file = stored(inks, kind, icc_profile=profile(b"CMYK", b"Lab ", A2B0=lut), **options)
    lightness = 100 * (1 - np.arange(256) / 255)
    luminance = np.where(  # CIE 1976
        lightness > 8, ((lightness + 16) / 116) ** 3, lightness * (3 / 29) ** 3
    )
    read = decode(file, "a", srgb=True)
    assert np.abs(read - encoded(luminance)[:, None, None]).max() <= 4
    plain = decode(file, "a").astype(int) - (255 - np.arange(256))[:, None, None]
    assert np.abs(plain).max() <= 2


def ramp():
    return Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 16, 1))
