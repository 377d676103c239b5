"""PSNR and SSIM, one value an image, and the way to 8 bits and back.

Images are (B, 3, H, W): float in [-1, 1] at the model's side, uint8 once rounded. The measures take
uint8, or floats in [0, 1] where a protocol does not round.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WINDOW = 7  # side of SSIM's uniform window
K1, K2 = 0.01, 0.03
CHUNK = 32 * 3 * 64 * 64  # numbers measured at once on a CPU, so that they stay in cache


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared error (B,) of each image for the range [0, 1], float64.

    Exact for uint8. ValueError for floats outside [0, 1] or unequal shapes.
    """
    check_pair(a, b)
    return in_chunks(squared_error_of_chunk, a, b)


def squared_error_of_chunk(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype == b.dtype == torch.uint8:
        squares = a.float().sub_(b).square_().flatten(1)  # whole numbers
        return squares.sum(1, dtype=torch.float64) / (a[0].numel() * 255**2)
    return (unit(a) - unit(b)).square_().mean((1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (B,) in decibels, range 1, from each image's own squared error.

    float64; infinite for equal images. Errors as `squared_error`.
    """
    return -10 * squared_error(a, b).log10()


def ssim(a: Tensor, b: Tensor, data_range: float = 1) -> Tensor:
    """Structural similarity (B,) as scikit-image computes it for images in [0, 1].

    Uniform 7x7 windows that lie inside the image, sample covariance, mean over pixels and channels
    (Wang et al. 2004). `data_range` 2 is what some papers' code passes for images in [0, 1]; it
    raises the figure. ValueError for sides under 7 px, floats outside [0, 1] or unequal shapes.
    """
    check_pair(a, b)
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs sides of at least {WINDOW} px, not {tuple(a.shape[-2:])}")
    return in_chunks(lambda x, y: ssim_of_chunk(x, y, data_range), a, b)


def ssim_of_chunk(a: Tensor, b: Tensor, data_range: float) -> Tensor:
    """SSIM from the sums over windows of a, b, ab and a^2 + b^2.

    For uint8 the sums and the (co)variances are whole numbers below 2^31, hence exact in int32,
    and only the final quotient is rounded, to float32: no cancellation, which float32 would not
    survive. Floats take float64 throughout.
    """
    whole = a.dtype == b.dtype == torch.uint8
    a, b = (a.int(), b.int()) if whole else (unit(a) * 255, unit(b) * 255)
    A, B = window_sum(a), window_sum(b)
    AB, AA_BB = A * B, (A * A).addcmul_(B, B)
    covariance = window_sum(a * b).mul_(WINDOW**2).sub_(AB)  # times n (n - 1)
    variances = window_sum((a * a).addcmul_(b, b)).mul_(WINDOW**2).sub_(AA_BB)
    n, scale = WINDOW**2, (255 * data_range) ** 2
    floats = torch.float32 if whole else torch.float64
    AB, AA_BB, covariance, variances = (x.to(floats) for x in (AB, AA_BB, covariance, variances))
    c1, c2 = K1**2 * scale * n**2, K2**2 * scale * n * (n - 1)
    numerator = AB.mul_(2).add_(c1).mul_(covariance.mul_(2).add_(c2))
    return numerator.div_(AA_BB.add_(c1).mul_(variances.add_(c2))).mean((1, 2, 3)).double()


def window_sum(x: Tensor) -> Tensor:
    """Sums over all 7x7 windows of x (B, 3, H, W)."""
    return sum_of_seven(sum_of_seven(x, 2), 3)


def sum_of_seven(x: Tensor, axis: int) -> Tensor:
    """Sums of 7 neighbours along an axis, by 4 additions: 1 + 1 = 2, 2 + 2 = 4, 4 + 2 + 1 = 7."""
    length = x.shape[axis]
    twos = x.narrow(axis, 0, length - 1) + x.narrow(axis, 1, length - 1)
    fours = twos.narrow(axis, 0, length - 3) + twos.narrow(axis, 2, length - 3)
    fours = fours.narrow(axis, 0, length - 6)
    return fours.add_(twos.narrow(axis, 4, length - 6)).add_(x.narrow(axis, 6, length - 6))


def in_chunks(measure: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """A measure of pairs of images, of so many at once as a CPU's cache holds; of all on a GPU."""
    size = len(a) if a.is_cuda or not len(a) else max(1, CHUNK // a[0].numel())
    pairs = zip(a.split(size), b.split(size), strict=True)
    return torch.cat([measure(x, y) for x, y in pairs])


def check_pair(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images of unequal shapes {tuple(a.shape)} and {tuple(b.shape)}")


def unit(images: Tensor) -> Tensor:
    """uint8, or floats that are in [0, 1] already, to float64 in [0, 1]."""
    if images.dtype == torch.uint8:
        return images.double() / 255
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must be uint8 or floats in [0, 1]; round with to_uint8 first")
    return images.double()
