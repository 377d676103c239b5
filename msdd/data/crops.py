"""Square crops of one photograph: where they lie and how they are reduced. Pure functions."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from msdd.data.image_file import PhotographError
from msdd.seeds import generator, hash_of

TRIES = 8


def crops(
    pixels: np.ndarray,
    key: tuple,
    start: int,
    stop: int,
    resolution: int,
    crop_side: Sequence[float],
    min_contrast: float,
) -> np.ndarray:
    """Crops `start` to `stop` of a photograph, uint8 (stop - start, resolution, resolution, 3).

    `pixels` is uint8 (H, W, 3). Crop k is a function of (pixels, key, k) and of the other settings,
    so asking for more crops later changes none of those asked for before.
    Raises PhotographError (`too_small`) where a crop would have to be enlarged.
    """
    check_size(pixels.shape, key[-1], resolution)
    image = Image.fromarray(pixels)
    result = np.empty((stop - start, resolution, resolution, 3), np.uint8)
    for crop, tries in zip(result, draws(key, start, stop), strict=True):
        boxes = (box(draw, image.size, resolution, crop_side) for draw in tries)
        crop[:] = best_contrast((reduce(image, b, resolution) for b in boxes), min_contrast)
    return result


def check_size(shape: tuple[int, ...], name: str, resolution: int) -> None:
    height, width = shape[:2]
    if min(height, width) < resolution:
        reason = f"{width} x {height} pixels give no crop of data.resolution {resolution}"
        raise PhotographError(name, "too_small", reason)


def draws(key: tuple, start: int, stop: int) -> np.ndarray:
    """Uniform numbers for (side, left, top), float64 (stop - start, TRIES, 3) in [0, 1)."""
    random = generator(*key)
    random.bit_generator.advance(start * TRIES * 3)  # one step a number
    return random.random((stop - start, TRIES, 3))


def box(
    draw: np.ndarray, size: tuple[int, int], resolution: int, crop_side: Sequence[float]
) -> tuple[int, int, int, int]:
    """A square (left, top, right, bottom) in pixels, inside an image of `size` (width, height).

    Its side is uniform between the two shares of the short side, and never below `resolution`.
    """
    share = crop_side[0] + draw[0] * (crop_side[1] - crop_side[0])
    side = min(max(round(share * min(size)), resolution), *size)
    left, top = (int(u * (length - side + 1)) for u, length in zip(draw[1:], size, strict=True))
    return left, top, left + side, top + side


def reduce(image: Image.Image, box: tuple[int, int, int, int], resolution: int) -> Image.Image:
    """The crop at `resolution`, by box averages of whole factors and then antialiased bicubic.

    That is the kernel of the ADM crop, in which this field evaluates; Lanczos would ring more at
    edges, and the box average makes the cost of large crops independent of the kernel.
    """
    return image.resize((resolution, resolution), Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def best_contrast(candidates, min_contrast: float) -> Image.Image:
    """The first candidate with enough contrast; if there is none, the one with the most."""
    best, most = None, -1.0
    for candidate in candidates:
        contrast = luma_deviation(candidate)
        if contrast > most:
            best, most = candidate, contrast
        if most >= min_contrast:
            break
    return best


def luma_deviation(image: Image.Image) -> float:
    """Standard deviation of the luma (ITU-R 601), on a scale of 0 to 1."""
    return float(np.asarray(image.convert("L")).std()) / 255


def shares(names: list[str], count: int) -> dict[str, int]:
    """How many of `count` crops each photograph gives; they differ by one at most.

    The odd crops go to photographs by a hash of the name. A photograph's number never falls when
    others are taken off the list, so crops already made stay.
    """
    if not names:
        return {}
    base, odd = divmod(count, len(names))
    favoured = set(sorted(names, key=lambda name: hash_of("odd", name))[:odd]) if odd else set()
    return {name: base + (name in favoured) for name in names}
