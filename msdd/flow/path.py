"""The straight path of each scale between its noisy ends, and the conversions along it.

At a scale with clean image x_e the ends share one noise n (paper section 3):

    X_e = (1 - e) x_e + e n,    X_s = (1 - s) Up(Down(x_e)) + s n,
    X_t = (1 - t) X_e + t X_s,  v = X_s - X_e.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.flow.scales import Scale


def up(x: Tensor) -> Tensor:
    """Nearest x2: (B, C, H, W) -> (B, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def down(x: Tensor) -> Tensor:
    """Mean of 2x2 blocks: (B, C, H, W) -> (B, C, H/2, W/2)."""
    return F.avg_pool2d(x, 2)


def reduced(x: Tensor, scale: Scale) -> Tensor:
    """x_e: the image (B, C, H, W) at the scale's resolution, by repeated `down`.

    The mean over blocks of the whole factor is the same numbers in one pass.
    """
    return x if scale.factor == 1 else F.avg_pool2d(x, scale.factor)


def blurred(x: Tensor) -> Tensor:
    """Up(Down(x)): what of x the previous scale has already shown."""
    return up(down(x))


def start_state(x_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """X_s of the clean image x_e; without signal at the coarsest scale."""
    if scale.index == 0:
        return noise
    return torch.lerp(blurred(x_e), noise, scale.start)


def end_state(x_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """X_e of the clean image x_e."""
    return torch.lerp(x_e, noise, scale.end)


def clean_estimate(X_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """x^ = (X_e - e n) / (1 - e): the clean image behind an end state with known noise."""
    return (X_e - scale.end * noise) / (1 - scale.end)


def authors_weight(t: Tensor, bias: float = -3.0) -> Tensor:
    """The authors' sigmoid weight of the squared velocity error at local time t in (0, 1).

    w = -1/2 dL/dt exp(b) sigmoid(L - b) with L = 2 log((1 - t) / t), so dL/dt = -2 / (t (1 - t)).
    """
    log_snr = 2 * torch.log((1 - t) / t)
    return math.exp(bias) * torch.sigmoid(log_snr - bias) / (t * (1 - t))
