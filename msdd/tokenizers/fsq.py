"""Finite scalar quantisation (Mentzer et al. 2023, arXiv 2309.15505): each number to few levels.

Channel i takes one of levels[i] integers; together they are one index in mixed radix, the first
channel fastest. Features and codes are (B, channels, h, w), indices (B, h, w).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def bound(z: Tensor, levels: Sequence[int]) -> Tensor:
    """Features squashed so that rounding gives integers -(L // 2) ... (L - 1) // 2 (section 3).

    An even L has no integer in its middle: it is shifted by 1/2, with 0 kept in place. The factor
    1.001 keeps the outermost integers within reach.
    """
    half = _column([(level - 1) * 1.001 / 2 for level in levels], z)
    offset = _column([0.5 if level % 2 == 0 else 0.0 for level in levels], z)
    return torch.tanh(z + torch.atanh(offset / half)) * half - offset


def quantise(z: Tensor, levels: Sequence[int]) -> Tensor:
    """Features to indices, int32; rounded in float32 whatever the features are."""
    z = z.float()
    digits = bound(z, levels).round().int() + _column([level // 2 for level in levels], z).int()
    return (digits * _column(_basis(levels), z).int()).sum(1, dtype=torch.int32)


def codes(indices: Tensor, levels: Sequence[int]) -> Tensor:
    """Indices to codes in [-1, 1], float32."""
    columns = [
        (indices // step % level - level // 2) / (level // 2)
        for step, level in zip(_basis(levels), levels, strict=True)
    ]
    return torch.stack(columns, 1)


def _basis(levels: Sequence[int]) -> list[int]:
    return [math.prod(levels[:i]) for i in range(len(levels))]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
