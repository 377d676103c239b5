"""PSNR and SSIM, one value an image, and the way to 8 bits and back.

Images are (B, 3, H, W): float in [-1, 1] at the model's side, uint8 once rounded. The measures take
uint8, or floats in [0, 1] where a protocol does not round.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.errors import MsddError

WINDOW = 7  # side of SSIM's uniform window
K1, K2 = 0.01, 0.03


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0..255, rounded to the nearest level and clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """0..255 to float32 in [-1, 1]; `to_uint8` takes it back exactly."""
    return images.float() / 127.5 - 1


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (B,) in decibels, range 1, from each image's own squared error.

    float64; infinite for equal images. ValueError for floats outside [0, 1] or unequal shapes.
    """
    a, b = unit_pair(a, b)
    return -10 * (a - b).square().mean((1, 2, 3)).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (B,), range 1, as scikit-image computes it by default.

    Uniform 7x7 windows that lie inside the image, sample covariance, mean over pixels and channels
    (Wang et al. 2004). float64. ValueError for sides under 7 px, floats outside [0, 1] or unequal
    shapes.
    """
    a, b = unit_pair(a, b)
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs sides of at least {WINDOW} px, not {tuple(a.shape[-2:])}")
    mean_a, mean_b = local_mean(a), local_mean(b)
    variances = covariance(a, a, mean_a, mean_a) + covariance(b, b, mean_b, mean_b)
    numerator = (2 * mean_a * mean_b + K1**2) * (2 * covariance(a, b, mean_a, mean_b) + K2**2)
    denominator = (mean_a**2 + mean_b**2 + K1**2) * (variances + K2**2)
    return (numerator / denominator).mean((1, 2, 3))


def local_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, WINDOW, stride=1)


def covariance(a: Tensor, b: Tensor, mean_a: Tensor, mean_b: Tensor) -> Tensor:
    """Sample covariance of every window."""
    return WINDOW**2 / (WINDOW**2 - 1) * (local_mean(a * b) - mean_a * mean_b)


def unit_pair(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape:
        raise ValueError(f"images of unequal shapes {tuple(a.shape)} and {tuple(b.shape)}")
    return unit(a), unit(b)


def unit(images: Tensor) -> Tensor:
    """uint8, or floats that are in [0, 1] already, to float64 in [0, 1]."""
    if images.dtype == torch.uint8:
        return images.double() / 255
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must be uint8 or floats in [0, 1]; round with to_uint8 first")
    return images.double()


def check_finite(values: Tensor, ids: list) -> None:
    """MsddError that names the first image of `values` (B, ...) with a NaN or an infinity."""
    bad = ~values.flatten(1).isfinite()
    if bad.any():
        row = int(bad.any(1).nonzero()[0])
        value = values.flatten(1)[row][bad[row]][0].item()
        raise MsddError(f"image {ids[row]} contains {value}; the model that made it has diverged")
