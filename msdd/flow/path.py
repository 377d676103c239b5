"""The straight path between the two noisy ends of each scale, and conversions along it.

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
    """Up: twice the side by nearest neighbour, (B, C, H, W) to (B, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def down(x: Tensor) -> Tensor:
    """Down: means of 2x2 blocks, (B, C, H, W) to (B, C, H/2, W/2)."""
    return F.avg_pool2d(x, 2)


def downsample(x: Tensor, scale: Scale) -> Tensor:
    """x_e: the clean image x (B, C, H, W) at the scale's resolution, (B, C, H/f, W/f).

    f is the scale's factor. Means over f x f blocks are what repeated `down` gives, in one pass.
    """
    return x if scale.factor == 1 else F.avg_pool2d(x, scale.factor)


def blur(x: Tensor) -> Tensor:
    """Up(Down(x)) of x (B, C, H, W): the part of x that the scale before already contains."""
    return up(down(x))


def start_state(x_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """X_s of a clean image and unit noise (B, C, H, W), at the scale's resolution.

    X_s = (1 - s) Up(Down(x_e)) + s n (paper section 3); at the coarsest scale it is the noise.
    """
    if scale.index == 0:
        return noise
    return torch.lerp(blur(x_e), noise, scale.start)


def end_state(x_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """X_e = (1 - e) x_e + e n of a clean image and unit noise (B, C, H, W) (paper section 3)."""
    return torch.lerp(x_e, noise, scale.end)


def clean_estimate(X_e: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """(X_e - e n) / (1 - e): the clean image (B, C, H, W) of an end state whose noise is known."""
    return (X_e - scale.end * noise) / (1 - scale.end)


def authors_weight(t: Tensor, bias: float = -3.0) -> Tensor:
    """The authors' sigmoid weight of the squared velocity error, (B,), at local times t in (0, 1).

    w = -1/2 dL/dt exp(b) sigmoid(L - b) with the log-SNR L = 2 log((1 - t) / t), whose derivative
    is dL/dt = -2 / (t (1 - t)), and the bias b. As in their released code.
    """
    log_snr = 2 * torch.log((1 - t) / t)
    return math.exp(bias) * torch.sigmoid(log_snr - bias) / (t * (1 - t))
