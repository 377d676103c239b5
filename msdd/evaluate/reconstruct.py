"""Reconstructions of held-out crops by a tokenizer or by a reference that needs none."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

from msdd.tokenizers.msdd import MSDD

# (images (B, 3, R, R) in [-1, 1], their ids) -> reconstructions of the same shape.
Reconstruct = Callable[[Tensor, Sequence[int]], Tensor]


def by_tokenizer(tokenizer: MSDD, seed: int) -> Reconstruct:
    return lambda images, ids: tokenizer.reconstruct(images, ids, seed)


def mean_colour(images: Tensor, ids: Sequence[int]) -> Tensor:
    """Each image's own mean colour everywhere: what three numbers can do."""
    return images.mean((2, 3), keepdim=True).expand_as(images)


def bicubic(side: int) -> Reconstruct:
    """The image reduced to `side` pixels by block means, then enlarged by bicubic interpolation."""

    def reconstruct(images: Tensor, ids: Sequence[int]) -> Tensor:
        small = F.avg_pool2d(images, images.shape[-1] // side)
        large = F.interpolate(small, images.shape[-1], mode="bicubic", align_corners=False)
        return large.clamp(-1, 1)

    return reconstruct
