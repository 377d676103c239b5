"""Square crops of one photograph: where they lie and how they are reduced. Pure functions."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from msdd.data.centre_crops import adm, adm_resize
from msdd.data.image_file import PhotographError
from msdd.params.sections import Data
from msdd.seeds import generator, hash_of

TRIES = 8
MOST_ENLARGED = 2**27  # pixels of a photograph that has been enlarged; a line of pixels has more


def crops(pixels: np.ndarray, key: tuple, start: int, stop: int, data: Data) -> np.ndarray:
    """Random crops `start` to `stop` of a photograph, uint8 (stop - start, side, side, 3).

    `pixels` is uint8 (H, W, 3), `data` the section of the params. Crop k is a function of (pixels,
    key, k) and of the section, so asking for more crops later changes none of those before.
    Raises PhotographError (`too_small`) where a crop would have to be enlarged and must not be.
    """
    check_size(pixels.shape, key[-1], data)
    image, cut = Image.fromarray(pixels), CUTS[data.crop]
    result = np.empty((stop - start, data.resolution, data.resolution, 3), np.uint8)
    for crop, tries in zip(result, draws(key, start, stop), strict=True):
        candidates = (cut(image, draw, data.resolution, data.crop_side) for draw in tries)
        crop[:] = best_contrast(candidates, data.min_contrast)
    return result


def adm_crop(pixels: np.ndarray, name: str, data: Data) -> np.ndarray:
    """ADM's centre crop of a photograph, uint8 (1, side, side, 3); errors as for `crops`."""
    check_size(pixels.shape, name, data)
    return np.asarray(adm(Image.fromarray(pixels), data.resolution))[None]


def check_size(shape: tuple[int, ...], name: str, data: Data) -> None:
    height, width = shape[:2]
    factor = data.resolution / min(height, width)
    if factor > 1 and not (data.enlarge and width * height * factor**2 < MOST_ENLARGED):
        reason = f"{width} x {height} pixels give no crop of data.resolution {data.resolution}"
        raise PhotographError(name, "too_small", reason)


def draws(key: tuple, start: int, stop: int) -> np.ndarray:
    """Uniform numbers for (side, left, top), float64 (stop - start, TRIES, 3) in [0, 1)."""
    random = generator(*key)
    random.bit_generator.advance(start * TRIES * 3)  # one step a number
    return random.random((stop - start, TRIES, 3))


def square(
    image: Image.Image, draw: np.ndarray, resolution: int, crop_side: Sequence[float]
) -> Image.Image:
    """A random square at `resolution`, by box averages of whole factors and antialiased bicubic.

    Its kernel is that of the ADM crop, in which this field evaluates; Lanczos would ring more at
    edges, and the box average makes the cost of large crops independent of the kernel.
    """
    within = box(draw, image.size, resolution, crop_side)
    return image.resize(
        (resolution, resolution), Image.Resampling.BICUBIC, within, reducing_gap=2.0
    )


def box(
    draw: np.ndarray, size: tuple[int, int], resolution: int, crop_side: Sequence[float]
) -> tuple[int, int, int, int]:
    """A square (left, top, right, bottom) in pixels, inside an image of `size` (width, height).

    Its side is uniform between the two shares of the short side, and never below `resolution`
    where the image is larger.
    """
    share = crop_side[0] + draw[0] * (crop_side[1] - crop_side[0])
    side = min(max(round(share * min(size)), resolution), *size)
    left, top = (int(u * (length - side + 1)) for u, length in zip(draw[1:], size, strict=True))
    return left, top, left + side, top + side


def adm_random(
    image: Image.Image, draw: np.ndarray, resolution: int, crop_side: Sequence[float]
) -> Image.Image:
    """ADM's random crop (Dhariwal, Nichol 2021; `random_crop_arr` of guided-diffusion).

    The whole image is resized until its short side is a whole number of pixels, uniform between
    `resolution` over the larger and over the smaller share; the square lies anywhere in it.
    """
    smallest, largest = (math.ceil(resolution / share) for share in reversed(crop_side))
    image = adm_resize(image, smallest + int(draw[0] * (largest - smallest + 1)))
    places = zip(draw[1:], image.size, strict=True)
    left, top = (int(u * (length - resolution + 1)) for u, length in places)
    return image.crop((left, top, left + resolution, top + resolution))


CUTS = {"random": square, "adm": adm_random}


def best_contrast(candidates, min_contrast: float) -> Image.Image:
    """The first candidate with enough contrast; if there is none, the one with the most."""
    if not min_contrast:
        return next(candidates)
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
