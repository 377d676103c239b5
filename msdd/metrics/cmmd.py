"""The distance of CLIP's embeddings of Jayasumana et al. 2024 (CMMD)."""

import torch
from torch import Tensor

from msdd.errors import MsddError

SIGMA, SCALE = 10, 1000  # as published
ROWS = 256  # of the kernel's matrix at once, which bounds memory


def cmmd(x: Tensor, y: Tensor) -> float:
    """1000 times the squared maximum mean discrepancy of embeddings x, y (n, D) of length 1.

    The kernel is exp(-|a - b|^2 / 200), and the estimate the biased one of Gretton et al. 2012,
    equation 5, as in the authors' program: all pairs count, also a row with itself. 0 for equal
    sets. MsddError for no rows, or for embeddings that are not finite.
    """
    if not (len(x) and len(y)):
        raise MsddError("CMMD needs at least one image on both sides")
    x, y = x.double(), y.double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise MsddError("the embeddings of CMMD contain NaN or infinity")
    return SCALE * max(0.0, mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y))


def mean_kernel(x: Tensor, y: Tensor) -> float:
    total = sum(
        torch.exp(-torch.cdist(part, y).square() / (2 * SIGMA**2)).sum().item()
        for part in x.split(ROWS)
    )
    return total / (len(x) * len(y))
