"""TIFFs of every layout have the levels that were written; what cannot be known is refused."""

import io
import zlib
from itertools import product

import numpy as np
import pytest
import tifffile
from image_bytes import SIDE, packed, tiff
from PIL import Image

from msdd.data.image_file import PhotographError, decode

RANDOM = np.random.default_rng(0)
KINDS = {  # photometric, extra samples
    "gray": ("minisblack", []),
    "white is zero": ("miniswhite", []),
    "white is zero, alpha": ("miniswhite", ["unassalpha"]),
    "white is zero, multiplied alpha": ("miniswhite", ["assocalpha"]),
    "gray, alpha": ("minisblack", ["unassalpha"]),
    "gray, multiplied alpha": ("minisblack", ["assocalpha"]),
    "gray, other": ("minisblack", ["unspecified"]),
    "rgb": ("rgb", []),
    "rgb, alpha": ("rgb", ["unassalpha"]),
    "rgb, multiplied alpha": ("rgb", ["assocalpha"]),
    "rgb, others": ("rgb", ["unspecified", "unspecified"]),
    "cmyk": ("separated", []),
}
COLOURS = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}
PACKINGS = [(None, None), ("zlib", None), ("zlib", 2)]  # compression, predictor
LAYOUTS = [{}, {"tile": (16, 16)}, {"rowsperstrip": 7}]


@pytest.mark.parametrize("depth", ["u1", "u2"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layout_of_samples(kind, depth):
    """Interleaved or in planes, either byte order, packed or not, in strips or tiles."""
    samples = drawn(kind, depth)
    expected = shown(kind, samples)
    for planes, order, (compression, predictor), layout in product(
        (False, True), "<>", PACKINGS, LAYOUTS
    ):
        photometric, extra = KINDS[kind]
        stored = np.moveaxis(samples, -1, 0) if planes else samples
        several = samples.shape[-1] > 1
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            (stored if several else samples[..., 0]).astype(f"{order}{depth}"),
            byteorder=order,
            photometric=photometric,
            planarconfig=("separate" if planes else "contig") if several else None,
            extrasamples=extra or None,
            compression=compression,
            predictor=predictor,
            metadata=None,
            **layout,
        )
        difference = np.abs(decode(file.getvalue(), "a") - expected).max()
        assert difference < 3, (planes, order, compression, predictor, layout)


def drawn(kind, depth):
    photometric, extra = KINDS[kind]
    top = np.iinfo(depth).max
    shape = SIDE, SIDE, COLOURS[photometric] + len(extra)
    samples = RANDOM.integers(0, top + 1, shape)
    if "assocalpha" in extra:
        samples[..., :-1] = samples[..., :-1] * samples[..., -1:] // top
    return samples.astype(depth)


def shown(kind, samples):
    """On white, as float (H, W, 3) from 0 to 255, by the definitions of TIFF 6.0."""
    photometric, extra = KINDS[kind]
    x = samples / np.iinfo(samples.dtype).max
    colours = x[..., : COLOURS[photometric]]
    alpha = x[..., COLOURS[photometric], None] if "alpha" in kind else 1
    if photometric == "miniswhite":
        colours = (alpha if "multiplied" in kind else 1) - colours
    if photometric == "separated":
        colours = (1 - colours[..., :3]) * (1 - colours[..., 3:])
    colours = colours if "multiplied" in kind else colours * alpha
    return np.broadcast_to(255 * (colours + 1 - alpha), (SIDE, SIDE, 3))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("white_is_zero", [True, False])
@pytest.mark.parametrize("bits", range(1, 17))
def test_gray_of_any_depth(bits, white_is_zero, order):
    levels = np.round(np.linspace(0, 2**bits - 1, SIDE * SIDE)).astype(int).reshape(SIDE, SIDE)
    data = levels.astype(f"{order}u2").tobytes() if bits == 16 else packed(levels, bits)
    read = decode(tiff(data, bits, 0 if white_is_zero else 1, order), "a")
    shade = 2**bits - 1 - levels if white_is_zero else levels
    expected = shade >> (bits - 8) if bits > 8 else shade * 255 // (2**bits - 1)
    assert np.array_equal(read, np.broadcast_to(expected[..., None], read.shape))


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("compression", [1, 8])
def test_low_bits_first(bits, compression):
    """FillOrder 2: the bits of every stored byte are reversed, also of compressed ones."""
    levels = RANDOM.integers(0, 2**bits, (SIDE, SIDE))
    data = levels.astype("<u2").tobytes() if bits == 16 else packed(levels, bits)
    data = zlib.compress(data) if compression == 8 else data
    reversed_bits = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)), bitorder="little")
    files = [
        tiff(stored, bits, 1, t259=compression, t266=order)
        for order, stored in ((1, data), (2, reversed_bits.tobytes()))
    ]
    assert np.array_equal(*(decode(file, "a") for file in files))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_colour_of_other_depths(bits):
    levels = RANDOM.integers(0, 2**bits, (SIDE, SIDE, 3))
    file = tiff(packed(levels, bits), bits, 2, t277=3)
    assert np.array_equal(decode(file, "a"), levels >> (bits - 8))


def test_declared_maximum_is_statistics():
    """MaxSampleValue (TIFF 6.0, section 8) is not to be used to change how an image looks."""
    levels = np.linspace(0, 4095, SIDE * SIDE).astype("<u2").reshape(SIDE, SIDE)
    read = decode(tiff(levels.tobytes(), 16, 1, t281=4095), "a")
    assert np.array_equal(read[..., 0], levels >> 8)


@pytest.mark.parametrize(("photometric", "levels"), [(3, 8), (5, 8), (6, 8), (8, 8)])
def test_other_colour_models(photometric, levels):
    mode = {3: "P", 5: "CMYK", 6: "YCbCr", 8: "LAB"}[photometric]
    image = Image.fromarray(RANDOM.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    image = image.quantize(levels) if mode == "P" else image.convert("RGB").convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF")
    assert np.array_equal(decode(file.getvalue(), "a"), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_of_8_bits_in_16_is_read_as_it_is_meant(factor):
    colours = RANDOM.integers(0, 256, (3, 256)).astype(np.uint16)
    places = RANDOM.integers(0, 256, (SIDE, SIDE), np.uint8)
    file = io.BytesIO()
    tifffile.imwrite(file, places, photometric="palette", colormap=colours * factor)
    assert np.array_equal(decode(file.getvalue(), "a"), colours.T[places])


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_turned_upright_when_tifffile_reads(orientation):
    levels = RANDOM.integers(0, 2**10, (SIDE, SIDE))
    read = decode(tiff(packed(levels, 10), 10, 1, t274=orientation), "a")[..., 0]
    assert np.array_equal(read, np.rot90(levels >> 2, {1: 0, 3: 2, 6: -1}[orientation]))


@pytest.mark.parametrize(
    ("bits", "tags", "reason"),
    [
        (8, {"t339": 2}, "without sign"),
        (16, {"t339": 2}, "without sign"),
        (16, {"t339": 3}, "without sign"),
        (32, {}, "8 or 16 bit"),
        (8, {"t277": 3, "t530": 2, "t262": 6}, "is not read: save it as"),
        (10, {"t259": 8, "t317": 2}, "8 or 16 bit, or in strips without planes and predictor"),
        (12, {"t277": 3, "t262": 2, "t284": 2}, "8 or 16 bit, or in strips without planes"),
        (10, {"t259": 5}, "LZW is not read: save it as a TIFF without compression"),
    ],
)
def test_what_has_no_certain_levels_is_refused(bits, tags, reason):
    file = tiff(bytes(SIDE * SIDE * 12), bits, tags.pop("t262", 1), **tags)
    with pytest.raises(PhotographError, match=reason):
        decode(file, "a")


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_missing_rows_are_refused(bits):
    file = tiff(bytes(SIDE * SIDE * bits // 8), bits, 0, order=">")
    with pytest.raises(PhotographError, match="truncated|not processed"):
        decode(file[:-SIDE], "a")
