"""TIFF files that Pillow does not open, or reads wrongly without a word: read through tifffile.

Pillow 13.0.0 takes 16-bit planes that are stored one after another for 8-bit ones (the picture is
noise), signed samples for unsigned ones, and fails on gray with alpha in 16 bits or in planes, on
white-is-zero in big-endian 16 bits, and on 10 and 14 bits.
"""

import io
import logging
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image
from tifffile import TIFF, TiffFile, TiffPage

from msdd.data.levels import to_eight_bits
from msdd.data.metadata import first, upright

COLOURS = {0: 1, 1: 1, 2: 3, 5: 4}  # samples of white-is-zero, black-is-zero, RGB, CMYK
MODES = {1: "L", 3: "RGB", 4: "CMYK"}
MAX_SAMPLES = 8  # a pixel; memory is checked by pixels
ASSOCIATED, UNASSOCIATED = 1, 2  # alpha among the ExtraSamples: multiplied into colours, or not
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
SUFFIXES = {ASSOCIATED: "a", UNASSOCIATED: "A"}
# Tags that say how pixels are stored, which way is up, and the colour profile.
NEEDED = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322}
NEEDED |= {323, 324, 325, 332, 338, 339, 347, *range(512, 522), 529, 530, 531, 532, 34675}
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # it tells of metadata at length


class FormError(ValueError):
    """A form of TIFF that is not read, by name and with what to do."""


def is_tiff(file: bytes) -> bool:
    return file[:4] in (b"II*\0", b"MM\0*") or is_big(file)


def is_big(file: bytes) -> bool:
    return file[:4] in (b"II+\0", b"MM\0+")


def without_metadata(file: bytes) -> bytes:
    """The file with every other tag of its first directory made one that means nothing."""
    order = "<" if file[:1] == b"I" else ">"
    (start,) = struct.unpack_from(f"{order}L", file, 4)
    (count,) = struct.unpack_from(f"{order}H", file, start)
    result = bytearray(file)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from(f"{order}H", file, place)[0] not in NEEDED:
            struct.pack_into(f"{order}HHLL", result, place, 65535, 1, 1, 0)
    return bytes(result)


def misread(image: Image.Image) -> bool:
    """Whether Pillow would fail on a TIFF that it has opened, or give wrong pixels."""
    tags = image.tag_v2
    raw, planes = tags.get(259, 1) == 1, tags.get(284, 1) == 2
    gray_alpha, extra = image.mode in ("LA", "La"), 338 in tags
    deep = max(tags.get(258, (1,))) > 8
    subsampled = tags.get(262) == 6 and tags.get(530, (1, 1)) != (1, 1)
    signed = 2 in tags.get(339, (1,))
    return signed or (raw and subsampled) or (planes and (gray_alpha or raw and (deep or extra)))


def load(file: bytes, check_pixels: Callable[[tuple[int, int]], None]) -> Image.Image:
    """The first image, upright, with 8 bits a sample: gray, RGB, CMYK, or the first two with alpha.

    `check_pixels` raises where (width, height) is too much. Raises ValueError for what is no
    picture of 1 to 16 bits in gray, RGB or CMYK, and for compressions that tifffile lacks.
    """
    with TiffFile(io.BytesIO(file)) as tiff:
        if not len(tiff.pages):
            raise ValueError("a TIFF without an image")
        page = tiff.pages[0]
        check_size(page, check_pixels)
        check_form(page)
        check_whole(page, len(file))
        image = as_image(page, levels(page, file))
        image.info["icc_profile"] = page.tags.valueof(34675)
        orientation = first(page.tags.valueof(274, 1))
    return upright(image, orientation)


def check_size(page: TiffPage, check_pixels: Callable[[tuple[int, int]], None]) -> None:
    """Check the size of the image, and of a tile, which a decoder fills as a whole.

    Raises ValueError for a volume.
    """
    check_pixels((page.imagewidth, page.imagelength))
    if page.is_tiled:
        check_pixels((page.tilewidth, page.tilelength))
    if max(page.imagedepth, page.tiledepth or 1) != 1:
        raise ValueError("a TIFF of a volume: save a slice of it")


def check_form(page: TiffPage) -> None:
    bits = bits_of(page)
    known = COLOURS.get(page.photometric, 0) + len(page.extrasamples)
    even = len(bits) == 1 and 1 <= min(bits) <= 16
    if not even or page.samplesperpixel != known or known > MAX_SAMPLES:
        raise form_error(page, "8 or 16 bit in gray, RGB or CMYK")
    if values_of(page, 339) != {1}:
        raise form_error(page, "8 or 16 bit without sign, whose range is known")


def bits_of(page: TiffPage) -> set[int]:
    return values_of(page, 258)


def values_of(page: TiffPage, tag: int) -> set[int]:
    """What a tag says of the samples, one value or one each; without it, 1."""
    value = page.tags.valueof(tag, 1)
    return set(value if isinstance(value, tuple) else (value,))


def form_error(page: TiffPage, wanted: str) -> FormError:
    kind = getattr(page.photometric, "name", page.photometric)
    packing = getattr(page.compression, "name", page.compression)
    samples = f"{page.samplesperpixel} x {max(bits_of(page))} bits"
    form = f"a TIFF of the kind {kind}, {samples}, compression {packing}"
    return FormError(f"{form} is not read: save it as {wanted}")


def check_whole(page: TiffPage, length: int) -> None:
    """tifffile fills what is missing with zeros."""
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not segments or not all(count and offset + count <= length for offset, count in segments):
        raise ValueError("the file is truncated")


def levels(page: TiffPage, file: bytes) -> np.ndarray:
    """uint8 (height, width, samples), 0 for black or no ink."""
    (bits,) = bits_of(page)
    try:
        values = page.asarray() if bits in (8, 16) else unpacked(page, file, bits)
    except FormError:
        raise
    except (ValueError, NotImplementedError, KeyError) as error:  # a codec that is not installed
        raise form_error(page, "a TIFF without compression, or as PNG") from error
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(*values.shape[:2], -1)
    return to_eight_bits(from_ink(values, page, bits) if page.photometric == 0 else values, bits)


def from_ink(samples: np.ndarray, page: TiffPage, bits: int) -> np.ndarray:
    """Gray of white-is-zero inverted. Alpha stays; if associated, it is multiplied into the ink.

    Before the depth changes, so that the picture is that of a file in which black is zero.
    """
    associated = page.extrasamples[:1] == (ASSOCIATED,)
    full = samples[..., 1] if associated else samples.dtype.type(2**bits - 1)
    inverted = full - np.minimum(samples[..., 0], full)
    return np.concatenate([inverted[..., None], samples[..., 1:]], axis=-1)


def unpacked(page: TiffPage, file: bytes, bits: int) -> np.ndarray:
    """Samples of any depth in strips of rows of whole bytes, high bit first in what was packed.

    FillOrder 2 has the bits of every stored byte reversed, also of compressed ones, as libtiff
    does. Raises ValueError for tiles, planes and predictors.
    """
    planes = page.planarconfig == 2 and page.samplesperpixel > 1
    if page.is_tiled or planes or page.predictor != 1:
        raise form_error(page, "8 or 16 bit, or in strips without planes and predictor")
    decompress = TIFF.DECOMPRESSORS[page.compression] if page.compression != 1 else bytes
    if page.fillorder == 2:
        file = file.translate(REVERSED)
    width = page.imagewidth * page.samplesperpixel
    rows = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        strip = np.frombuffer(decompress(file[offset : offset + count]), np.uint8)
        rows.append(unpacked_rows(strip.reshape(-1, -(-width * bits // 8)), width, bits))
    rows = np.concatenate(rows)[: page.imagelength]
    return rows.reshape(page.imagelength, page.imagewidth, page.samplesperpixel)


def unpacked_rows(rows: np.ndarray, width: int, bits: int) -> np.ndarray:
    """uint8 (rows, bytes) as uint16 (rows, width)."""
    each = np.unpackbits(rows, axis=1, count=width * bits).reshape(len(rows), width, bits)
    result = np.zeros(each.shape[:2], np.uint16)
    for bit in range(bits):
        result = result << 1 | each[..., bit]
    return result


def as_image(page: TiffPage, levels: np.ndarray) -> Image.Image:
    """Extra samples that are no alpha are left out, and so is the alpha of CMYK."""
    count = COLOURS[page.photometric]
    extra = page.extrasamples[0] if page.extrasamples else 0
    mode = MODES[count]
    if extra in SUFFIXES and mode != "CMYK":
        mode, count = mode + SUFFIXES[extra], count + 1
    data = np.ascontiguousarray(levels[..., :count]).tobytes()
    return Image.frombytes(mode, (page.imagewidth, page.imagelength), data)
