"""The two-dimensional Haar transform: images as four half-sized bands a channel, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Bands of a 2x2 block, its pixels row by row: mean, top - bottom, left - right, diagonal.
SIGNS = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))


def haar(x: Tensor, times: int) -> Tensor:
    """(B, C, H, W) to (B, 4^times C, H / 2^times, W / 2^times); every band is split again.

    The bands are outermost in the channels, each holding all channels of before. All carry the
    factor 1/4, as in Cosmos, so the first is the mean of the block.
    """
    for _ in range(times):
        blocks = F.pixel_unshuffle(x, 2).unflatten(1, (-1, 4))
        x = torch.einsum("kp,bcphw->bkchw", _signs(x) / 4, blocks).flatten(1, 2)
    return x


def inverse_haar(x: Tensor, times: int) -> Tensor:
    """`haar` undone: (B, 4^times C, h, w) to (B, C, 2^times h, 2^times w)."""
    for _ in range(times):
        bands = x.unflatten(1, (4, -1))
        x = F.pixel_shuffle(torch.einsum("pk,bkchw->bcphw", _signs(x), bands).flatten(1, 2), 2)
    return x


def _signs(x: Tensor) -> Tensor:
    return torch.tensor(SIGNS, dtype=x.dtype, device=x.device)
