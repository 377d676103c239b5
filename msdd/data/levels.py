"""Levels of any depth as 8 bits, and what the samples of a file say about transparency."""

import io

import numpy as np
from PIL import Image, ImageChops

BITS_PER_SAMPLE, PHOTOMETRIC, COLOR_MAP, EXTRA_SAMPLES = 258, 262, 320, 338  # tags of TIFF 6.0
WHITE_IS_ZERO = 0
# Formats whose last sample may be filling; only a TIFF can say that it is no alpha.
VAGUE_ALPHA = {"BMP", "DIB", "ICO", "CUR", "TGA", "TIFF"}


def with_eight_bits(image: Image.Image, file: bytes) -> Image.Image:
    """A loaded image with 8 bits a sample; a transparent colour becomes an alpha channel.

    Raises ValueError for samples without a declared range.
    """
    if image.mode.startswith("I;16"):
        return gray(image)
    if image.mode == "I" and image.format == "PPM":  # Pillow scales any maxval above 255 to 65535
        return Image.fromarray(to_eight_bits(np.asarray(image), 16))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save it as 8 or 16 bit")
    if image.format == "PNG" and image.mode in ("L", "RGB") and "transparency" in image.info:
        return with_color_key(image, file)
    if image.format == "TIFF" and image.mode in ("P", "PA"):
        return with_palette(image)
    return as_inks(image) if image.mode == "CMYK" else image


def to_eight_bits(levels: np.ndarray, bits: int) -> np.ndarray:
    """Levels from 0 to 2^bits - 1 as uint8: the high byte of 9 to 16 bits, fewer scaled to 255.

    The high byte maps 257 k to k and 65535 to 255; it is also what Pillow does to 16-bit colour.
    """
    if bits < 8:
        return (levels * 255 // (2**bits - 1)).astype(np.uint8)
    return (levels >> (bits - 8)).astype(np.uint8)


def gray(image: Image.Image) -> Image.Image:
    """9 to 16 bits in Pillow's mode I;16, where a TIFF of 12 bits has levels up to 4095 only.

    Every other format that gives this mode has 16 bits; of JPEG 2000 Pillow scales 12 bits to 16.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    levels = np.asarray(image)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow inverts 8 bits and fewer, and not these
        levels = 2**bits - 1 - levels
    result = as_image(to_eight_bits(levels, bits), image)
    key = result.info.pop("transparency", None)
    return result if key is None else transparent_where(result, levels == key)


def as_image(levels: np.ndarray, image: Image.Image) -> Image.Image:
    result = Image.fromarray(levels)
    result.info, result.format = dict(image.info), image.format
    return result


def transparent_where(image: Image.Image, mask: np.ndarray) -> Image.Image:
    image.putalpha(Image.fromarray(np.where(mask, 0, 255).astype(np.uint8)))
    return image


def with_color_key(image: Image.Image, file: bytes) -> Image.Image:
    """A PNG's transparent colour. Pillow compares it with levels of another depth than its own.

    The key has the depth of the file (PNG, third edition, 11.3.1.1); Pillow scales pixels of 2 and
    4 bits to 255, and of 16-bit colour it keeps the high bytes.
    """
    bits = file[24]
    key = np.array(image.info.pop("transparency")) & (2**bits - 1)  # other bits do not count
    levels = np.asarray(image)
    if bits < 8:
        key = to_eight_bits(key, bits)
    if bits == 16:
        levels = levels.astype(np.uint16) << 8 | low_bytes(file)
    same = levels == key
    return transparent_where(image, same.all(-1) if same.ndim == 3 else same)


def low_bytes(file: bytes) -> np.ndarray:
    """The low bytes of a 16-bit RGB PNG, read as if the high ones came second."""
    with Image.open(io.BytesIO(file)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(image)


def with_palette(image: Image.Image) -> Image.Image:
    """Some programs fill a TIFF's 16-bit palette with 8 bits, and the picture seems black.

    The test is libtiff's (`checkcmap` of its tif_getimage.c).
    """
    palette = image.tag_v2[COLOR_MAP]
    if max(palette) < 256:
        image.putpalette(bytes(palette), "RGB;L")
    return image


def as_inks(image: Image.Image) -> Image.Image:
    """Pillow takes every CMYK JPEG for one of Adobe's, in which 0 is full ink.

    Without Adobe's marker 255 is (libjpeg.txt, "Special color spaces"; browsers do the same).
    """
    inverted = image.format in ("JPEG", "MPO") and "adobe" not in image.info
    return ImageChops.invert(image) if inverted else image


def opaque(image: Image.Image) -> Image.Image:
    """Without an alpha that is 0 everywhere, in formats whose last sample, of pixels or of palette
    entries, may be filling.

    PNG, WebP, GIF, AVIF, JPEG 2000 and TIFF with ExtraSamples declare alpha, so it is followed.
    """
    vague = image.has_transparency_data and image.format in VAGUE_ALPHA
    if not vague or EXTRA_SAMPLES in getattr(image, "tag_v2", ()):
        return image
    return image if image.convert("RGBA").getchannel("A").getextrema()[1] else as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    result = image.convert("RGB")
    result.format = image.format
    return result
