"""Noise as a function of seed and image id, so that a reconstruction does not depend on its batch.

It is drawn on the device that uses it, by integer arithmetic that is the same on every device. So
devices differ only by the rounding of logarithm, sine and cosine.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from msdd.seeds import seed_of

# The constants of SplitMix64 (Steele, Lea, Flood 2014), as signed 64-bit integers.
STEP, FIRST, SECOND = (
    number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
BITS = 24  # of a uniform number: as many as float32 holds


class Window(NamedTuple):
    """A place in the noise of an image of any size, and an id where `image_noise` takes ids.

    image:     id of the image.
    top, left: of the window's first pixel, in pixels of the last scale; at coarser scales the same
               place, so both are multiples of the ratio of the scales.
    """

    image: int
    top: int
    left: int


def image_noise(
    seed: int, ids: Sequence[int | Window], sides: Sequence[int], device: str | torch.device = "cpu"
) -> list[Tensor]:
    """Unit normals of images for each scale, (B, 3, side, side) each, in float32.

    The noise of an image depends on seed, its id and `sides`, and on no other image.
    """
    return split(vectors(seed, ids, sides, device), sides)


def vectors(
    seed: int, ids: Sequence[int | Window], sides: Sequence[int], device: str | torch.device = "cpu"
) -> Tensor:
    """Unit normals for all scales at once, one vector for each image: (B, sum of 3 side^2)."""
    if not any(isinstance(image, Window) for image in ids):
        return _streams(seed, ids, sides, device)
    side = sides[-1]
    parts = [field(seed, image, sides, side, side, device) for image in ids]
    return torch.stack([torch.cat([part.flatten() for part in window]) for window in parts])


def field(
    seed: int,
    place: int | Window,
    sides: Sequence[int],
    height: int,
    width: int,
    device: str | torch.device = "cpu",
) -> list[Tensor]:
    """Unit normals of a window of an image, for each scale, (3, height / k, width / k) each, with
    k = last side / side of the scale.

    The plane of an image is laid with blocks of the last side: a normal is a function of seed,
    image, scale and position, so windows that overlap agree there. The first block has the noise
    of an image of that size.
    """
    image, top, left = place if isinstance(place, Window) else Window(place, 0, 0)
    full = sides[-1]
    rows = range(top // full, (top + height - 1) // full + 1)
    columns = range(left // full, (left + width - 1) // full + 1)
    blocks = [_block(image, row, column) for row in rows for column in columns]
    result = []
    for normals, side in zip(
        split(_streams(seed, blocks, sides, device), sides), sides, strict=True
    ):
        k = full // side
        plane = normals.unflatten(0, (len(rows), len(columns))).permute(2, 0, 3, 1, 4)
        plane = plane.flatten(3).flatten(1, 2)
        y, x = top // k - rows[0] * side, left // k - columns[0] * side
        result.append(plane[:, y : y + height // k, x : x + width // k])
    return result


def _block(image: int, row: int, column: int) -> int:
    """The id of a block of an image's plane."""
    return image if row == column == 0 else seed_of("block", image, row, column)


def _streams(
    seed: int, ids: Sequence[int], sides: Sequence[int], device: str | torch.device
) -> Tensor:
    keys = torch.tensor([seed_of("noise", seed, image) for image in ids], dtype=torch.int64)
    return normals(keys.to(device, non_blocking=True), sum(3 * side * side for side in sides))


def silenced(noise: Tensor, kind: str) -> Tensor:
    """The noise of a student as it takes it: `drawn`, or `zero`, none at all."""
    return noise if kind == "drawn" else torch.zeros_like(noise)


def split(vectors: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """Vectors (B, sum of 3 side^2) as images for each scale, (B, 3, side, side) each; views."""
    parts = vectors.split([3 * side * side for side in sides], dim=1)
    return [part.view(-1, 3, side, side) for part, side in zip(parts, sides, strict=True)]


def normals(keys: Tensor, length: int) -> Tensor:
    """Unit normals (B, length) of the streams that start at keys (B,), int64.

    Box and Muller's transform makes two of each 64-bit integer; none lies beyond
    sqrt(2 BITS ln 2) = 5.8.
    """
    bits = splitmix(keys, (length + 1) // 2)
    share = 2.0**-BITS
    radius = _shift(bits, 64 - BITS).add_(1).float().mul_(share).log_().mul_(-2).sqrt_()
    angle = bits.bitwise_and_((1 << BITS) - 1).float().mul_(2 * math.pi * share)
    return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)], dim=1)[:, :length]


def splitmix(keys: Tensor, count: int) -> Tensor:
    """The first `count` integers of SplitMix64 from each key (B,), as int64 (B, count)."""
    z = keys[:, None] + torch.arange(1, count + 1, device=keys.device).mul_(STEP)
    z.bitwise_xor_(_shift(z, 30)).mul_(FIRST)
    z.bitwise_xor_(_shift(z, 27)).mul_(SECOND)
    return z.bitwise_xor_(_shift(z, 31))


def _shift(z: Tensor, places: int) -> Tensor:
    """A logical shift to the right: zeros come in from the left, unlike with `>>`."""
    return (z >> places).bitwise_and_((1 << (64 - places)) - 1)
