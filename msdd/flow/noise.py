"""Noise as a function of (seed, image id): a reconstruction depends on nothing beside its image."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.seeds import seed_of


def image_noise(seed: int, ids: Sequence[int], sides: Sequence[int]) -> list[Tensor]:
    """Unit normals for each scale, (B, 3, side, side) each, from one vector per image.

    The vectors come from the CPU generator on every device.
    """
    lengths = [3 * side * side for side in sides]
    vectors = torch.stack([_vector(seed, image, sum(lengths)) for image in ids])
    parts = vectors.split(lengths, dim=1)
    return [part.view(-1, 3, side, side) for part, side in zip(parts, sides, strict=True)]


def _vector(seed: int, image: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed_of("noise", seed, image))
    return torch.randn(length, generator=generator)
