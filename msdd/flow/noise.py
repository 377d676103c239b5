"""Noise as a function of (seed, image id): a reconstruction depends on nothing beside its image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.seeds import seed_of


def image_noise(seed: int, ids: Sequence[int], sides: Sequence[int]) -> list[Tensor]:
    """Unit normals for each scale, (B, 3, side, side) each: `split` of `vectors`."""
    return split(vectors(seed, ids, sides), sides)


def vectors(seed: int, ids: Sequence[int], sides: Sequence[int]) -> Tensor:
    """All unit normals of each image in one vector, (B, sum of 3 side^2).

    The vectors come from the CPU generator on every device.
    """
    length = sum(3 * side * side for side in sides)
    return torch.stack([_vector(seed, image, length) for image in ids])


def split(vectors: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """The parts of vectors (B, sum of 3 side^2) that belong to each scale, as images."""
    parts = vectors.split([3 * side * side for side in sides], dim=1)
    return [part.view(-1, 3, side, side) for part, side in zip(parts, sides, strict=True)]


def _vector(seed: int, image: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_of("noise", seed, image))
    return torch.randn(length, generator=generator)
