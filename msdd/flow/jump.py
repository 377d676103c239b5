"""The jump from the end of one scale to the start of the next: enlarge, then renoise.

x <- a Up(x) + b n',  a = 1 / (1 + e),  b = sqrt(3) e / (1 + e),  with e the end of the scale before
(paper section 3).

Up leaves the old noise equal inside each 2x2 block. If the noise n' of unit variance has the
correlation -1/3 inside these blocks, the sum is white with level s = 2e / (1 + e), as in training.
"""

import torch.nn.functional as F
from torch import Tensor

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.path import up


def block_noise(normals: Tensor, correlation: float = CORRELATIONS["white"]) -> Tensor:
    """Noise n' (B, C, H, W) of unit variance with a correlation inside each 2x2 block.

    normals:     iid unit normals (B, C, H, W).
    correlation: r in [-1/3, 1]. The covariance (1 - r) I + r 11^T of a block has the eigenvalue
                 1 + 3r along the block's mean and 1 - r across it: both parts of the normals are
                 scaled by the roots.
    """
    mean = up(F.avg_pool2d(normals, 2))
    return (1 - correlation) ** 0.5 * (normals - mean) + max(0.0, 1 + 3 * correlation) ** 0.5 * mean


def jump(x: Tensor, noise: Tensor, end: float) -> Tensor:
    """The state at the start of the next scale, (B, C, 2H, 2W).

    x:     the state (B, C, H, W) at the end of this scale.
    noise: n' (B, C, 2H, 2W), from `block_noise`.
    end:   e of this scale.
    """
    return (up(x) + 3**0.5 * end * noise) / (1 + end)


def carry_noise(noise: Tensor, fresh: Tensor) -> Tensor:
    """The unit noise in the state after a jump, Up(n)/2 + (sqrt(3)/2) n', (B, C, 2H, 2W).

    noise: n (B, C, H, W), the unit noise in the state before; fresh: n' (B, C, 2H, 2W).
    """
    return up(noise) / 2 + 3**0.5 / 2 * fresh
