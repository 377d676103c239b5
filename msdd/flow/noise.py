"""Noise as a function of seed and image id, so that a reconstruction does not depend on its batch.

It is drawn on the device that uses it, by integer arithmetic that is the same on every device. So
devices differ only by the rounding of logarithm, sine and cosine.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.seeds import seed_of

# The constants of SplitMix64 (Steele, Lea, Flood 2014), as signed 64-bit integers.
STEP, FIRST, SECOND = (
    number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
BITS = 24  # of a uniform number: as many as float32 holds


def image_noise(
    seed: int, ids: Sequence[int], sides: Sequence[int], device: str | torch.device = "cpu"
) -> list[Tensor]:
    """Unit normals of images for each scale, (B, 3, side, side) each, in float32.

    The noise of an image depends on seed, its id and `sides`, and on no other image.
    """
    return split(vectors(seed, ids, sides, device), sides)


def vectors(
    seed: int, ids: Sequence[int], sides: Sequence[int], device: str | torch.device = "cpu"
) -> Tensor:
    """The same unit normals with one vector for each image, (B, sum of 3 side^2)."""
    keys = torch.tensor([seed_of("noise", seed, image) for image in ids], dtype=torch.int64)
    return normals(keys.to(device, non_blocking=True), sum(3 * side * side for side in sides))


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
