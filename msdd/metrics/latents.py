"""What continuous latents are like, channel by channel, from their moments."""

from typing import NamedTuple

import torch
from torch import Tensor


class LatentSpread(NamedTuple):
    """Statistics of latents over all positions of all images, by channel (C,), in float64.

    mean, std:    what a latent generator normalises by: (latents - mean) / std
    std_in_image: within an image, over its positions: the root of the mean variance
    std_of_means: of the images' own means
    eigenvalues:  of the covariance of the channels, descending
    effective_dimension: their participation ratio, between 1 and C
    """

    mean: Tensor
    std: Tensor
    std_in_image: Tensor
    std_of_means: Tensor
    eigenvalues: Tensor
    effective_dimension: float


def latent_spread(
    mean: Tensor, covariance: Tensor, count: int, between: Tensor, images: int
) -> LatentSpread:
    """From the mean (C,) and the sample covariance (C, C) of `count` positions, and the sample
    variance (C,) `between` the means of `images` images with as many positions each.

    Variance splits into that within images and that of their means, both divided by their number.
    """
    total = covariance.diagonal() * (count - 1) / count
    of_means = between * (images - 1) / images
    inside = (total - of_means).clamp(min=0)
    eigenvalues = torch.linalg.eigvalsh(covariance).flip(0).clamp(min=0)
    return LatentSpread(
        mean,
        std=total.clamp(min=0).sqrt(),
        std_in_image=inside.sqrt(),
        std_of_means=of_means.clamp(min=0).sqrt(),
        eigenvalues=eigenvalues,
        effective_dimension=participation_ratio(eigenvalues),
    )


def participation_ratio(eigenvalues: Tensor) -> float:
    """(sum of eigenvalues)^2 / sum of their squares: C where all are equal, 1 where one alone
    differs from 0; 0 where all are 0."""
    squares = eigenvalues.square().sum()
    return (eigenvalues.sum().square() / squares).item() if squares > 0 else 0.0
