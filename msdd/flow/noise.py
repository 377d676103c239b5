"""Noise as a function of (seed, image id): a reconstruction depends on nothing beside its image.

It is drawn where it is used, by whole-number arithmetic that every device does alike, so that
devices differ by the rounding of logarithm, sine and cosine alone.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.seeds import seed_of

# Of SplitMix64 (Steele, Lea, Flood 2014), as signed numbers.
STEP, FIRST, SECOND = (
    number - (1 << 64) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
BITS = 24  # of a uniform number: what float32 holds


def image_noise(
    seed: int, ids: Sequence[int], sides: Sequence[int], device: str | torch.device = "cpu"
) -> list[Tensor]:
    """Unit normals for each scale, (B, 3, side, side) each: `split` of `vectors`."""
    return split(vectors(seed, ids, sides, device), sides)


def vectors(
    seed: int, ids: Sequence[int], sides: Sequence[int], device: str | torch.device = "cpu"
) -> Tensor:
    """All unit normals of each image in one vector, (B, sum of 3 side^2)."""
    keys = torch.tensor([seed_of("noise", seed, image) for image in ids], dtype=torch.int64)
    return normals(keys.to(device, non_blocking=True), sum(3 * side * side for side in sides))


def split(vectors: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """The parts of vectors (B, sum of 3 side^2) that belong to each scale, as images."""
    parts = vectors.split([3 * side * side for side in sides], dim=1)
    return [part.view(-1, 3, side, side) for part, side in zip(parts, sides, strict=True)]


def normals(keys: Tensor, length: int) -> Tensor:
    """Unit normals (B, length) of streams that start at keys (B,): two of each whole number.

    By Box and Muller; none lies beyond sqrt(2 BITS ln 2) = 5.8.
    """
    bits = splitmix(keys, (length + 1) // 2)
    share = 2.0**-BITS
    radius = _shift(bits, 64 - BITS).add_(1).float().mul_(share).log_().mul_(-2).sqrt_()
    angle = bits.bitwise_and_((1 << BITS) - 1).float().mul_(2 * math.pi * share)
    return torch.cat([angle.cos().mul_(radius), angle.sin_().mul_(radius)], dim=1)[:, :length]


def splitmix(keys: Tensor, count: int) -> Tensor:
    """The first `count` numbers of SplitMix64 from each key (B,): 64 random bits each, int64."""
    z = keys[:, None] + torch.arange(1, count + 1, device=keys.device).mul_(STEP)
    z.bitwise_xor_(_shift(z, 30)).mul_(FIRST)
    z.bitwise_xor_(_shift(z, 27)).mul_(SECOND)
    return z.bitwise_xor_(_shift(z, 31))


def _shift(z: Tensor, places: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (z >> places).bitwise_and_((1 << (64 - places)) - 1)
