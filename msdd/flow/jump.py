"""From the end of one scale to the start of the next: enlarge, then renoise.

x <- a Up(x) + b n',  a = 1 / (1 + e),  b = sqrt(3) e / (1 + e),  with e the end level left behind.

Up leaves the old noise equal inside each 2x2 block. If the blocks of the unit-variance n' have
correlation -1/3, the sum is white with level s = 2e / (1 + e), the marginal of training.
"""

import torch.nn.functional as F
from torch import Tensor

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.path import up


def block_noise(normals: Tensor, correlation: float = CORRELATIONS["white"]) -> Tensor:
    """Give iid normals (B, C, H, W) a correlation inside each 2x2 block; the variance stays 1.

    The block covariance (1 - r) I + r 11^T has eigenvalue 1 + 3r along the block's mean and
    1 - r across it, so both parts are scaled by the roots. r in [-1/3, 1].
    """
    mean = up(F.avg_pool2d(normals, 2))
    return (1 - correlation) ** 0.5 * (normals - mean) + max(0.0, 1 + 3 * correlation) ** 0.5 * mean


def jump(x: Tensor, noise: Tensor, end: float) -> Tensor:
    """State at the next scale's start from the state x at this one's end; see `block_noise`."""
    return (up(x) + 3**0.5 * end * noise) / (1 + end)


def carried(noise: Tensor, fresh: Tensor) -> Tensor:
    """The unit noise inside a state after the jump: Up(n)/2 + (sqrt(3)/2) n'."""
    return up(noise) / 2 + 3**0.5 / 2 * fresh
