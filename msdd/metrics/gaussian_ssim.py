"""SSIM with a Gaussian window, and MS-SSIM: one value an image.

Another number than `msdd.metrics.pixel.ssim`, whose window is uniform: the window weighs pixels by
a Gaussian of deviation 1.5, 11 x 11 in size, and variances are not those of samples (Wang et al.
2004). Images are (B, 3, H, W), both uint8, or floats in [0, 1].
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.metrics.pixel import CHUNK, K1, K2, check_pair, unit

RADIUS, DEVIATION = 5, 1.5
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of Wang et al. 2003, finest first
SMALLEST = 2 * RADIUS * 2 ** (len(SCALES) - 1) + 1  # side of an image for MS-SSIM, 161 px


def gaussian_ssim(a: Tensor, b: Tensor, zero: str = "black") -> Tensor:
    """SSIM (B,) as torchmetrics 1.9 computes it by default; float64, equal to it to 1e-6.

    Images are reflected at their borders, and every pixel has its window. zero: `black` for
    images in [0, 1] and their range 1. `grey` is for images in [-1, 1] and their range 2, which
    gives another number, because means count from mid-grey. ValueError for sides under 6 px,
    floats outside [0, 1] or unequal shapes.
    """
    check_pair(a, b)
    if min(a.shape[-2:]) <= RADIUS:
        raise ValueError(f"SSIM needs sides of at least {RADIUS + 1} px, not {tuple(a.shape[-2:])}")
    black = {"black": 0.0, "grey": -127.5}[zero]
    return torch.cat([ssim_of_planes(*planes, black).mean().view(1) for planes in pairs(a, b)])


def ssim_of_planes(a: Tensor, b: Tensor, black: float) -> Tensor:
    borders = [RADIUS] * 4
    a, b = (F.pad(x[None], borders, mode="reflect")[0] for x in (a, b))
    return similarities(a, b, black)[0]


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Multi-scale SSIM (B,) for range 1 (Wang et al. 2003), float64, equal to pytorch-msssim 1.0
    to 2e-6: its window is rounded to float32 and adds up to 1 - 3e-8; with an exact one to 2e-8.

    Windows lie inside the image; the products over the five scales are taken channel by channel;
    negative contrasts count as 0. A side that is odd gets a black row or column on either side
    before it is halved. NaN for images with a side under 161 px, which have no fifth scale.
    ValueError as `gaussian_ssim`.
    """
    check_pair(a, b)
    if min(a.shape[-2:]) < SMALLEST:
        return torch.full((len(a),), torch.nan, dtype=torch.float64, device=a.device)
    return torch.stack([ms_ssim_of_planes(*planes).mean() for planes in pairs(a, b)])


def ms_ssim_of_planes(a: Tensor, b: Tensor) -> Tensor:
    """(C,) of an image's channels (C, H, W)."""
    product: Tensor | float = 1.0
    for scale, weight in enumerate(SCALES):
        similarity, contrast = similarities(a, b, 0)
        last = scale == len(SCALES) - 1
        product = product * (similarity if last else contrast).clamp(min=0) ** weight
        a, b = halve(a), halve(b)
    return product


def halve(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes[None], 2, padding=[side % 2 for side in planes.shape[-2:]])[0]


def pairs(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Image by image, both as float32 (C, H, W) in [0, 255]."""
    for x, y in zip(a, b, strict=True):
        if a.dtype == b.dtype == torch.uint8:
            yield x.float(), y.float()
        else:
            yield (unit(x) * 255).float(), (unit(y) * 255).float()


def similarities(a: Tensor, b: Tensor, black: float) -> tuple[Tensor, Tensor]:
    """Means (C,) of SSIM and of its contrast-structure term over all windows inside (C, H, W), in
    float64. `black` is the level of black where white is 255 above it.

    By strips of rows, so that a large image needs no more memory than its strip, which stays in
    cache.
    """
    rows = max(1, CHUNK // (a.shape[0] * a.shape[2]) - 2 * RADIUS)
    inside = a.shape[1] - 2 * RADIUS
    total: Tensor | float = 0.0
    for top in range(0, inside, rows):
        strip = slice(top, min(top + rows, inside) + 2 * RADIUS)
        total = total + sums_of_strip(a[:, strip], b[:, strip], black)
    return tuple(total / (inside * (a.shape[2] - 2 * RADIUS)))


def sums_of_strip(a: Tensor, b: Tensor, black: float) -> Tensor:
    """Sums (2, C) over windows, by the sum s and the difference d of both images.

    With 2 ab = (s^2 - d^2) / 2 and a^2 + b^2 = (s^2 + d^2) / 2, for means as for covariances, a
    rounding error of a large variance is in numerator and denominator alike.
    """
    s, d = (a + b).sub_(255), a - b  # s around mid-grey, so that its squares stay small
    mean_s, mean_d = blur(s), blur(d)
    variance_s = blur(s.square_()).sub_(mean_s.square())
    variance_d = blur(d.square_()).sub_(mean_d.square())
    contrast = ratio(variance_s, variance_d, 2 * (K2 * 255) ** 2)
    luminance = ratio(mean_s.add_(255 + 2 * black).square_(), mean_d.square_(), 2 * (K1 * 255) ** 2)
    similarity = luminance.mul_(contrast)
    return torch.stack([x.sum((1, 2), dtype=torch.float64) for x in (similarity, contrast)])


def ratio(s: Tensor, d: Tensor, constant: float) -> Tensor:
    return (s - d).add_(constant).div_(s.add_(d).add_(constant))


def blur(x: Tensor) -> Tensor:
    """Means of x (C, H, W) in all Gaussian windows that lie inside."""
    return blur_along(blur_along(x, 1), 2)


def blur_along(x: Tensor, axis: int) -> Tensor:
    """A sum of shifted copies: on a CPU faster than a convolution of a single channel."""
    length, taps = x.shape[axis] - 2 * RADIUS, window()
    total = x.narrow(axis, 0, length) * taps[0]
    for shift, tap in enumerate(taps[1:], start=1):
        total.add_(x.narrow(axis, shift, length), alpha=tap)
    return total


def window() -> list[float]:
    """The 11 weights. As float32 they add up to 1, or variances would be off by the rest."""
    distances = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    weights = (-((distances / DEVIATION) ** 2) / 2).exp()
    weights = (weights / weights.sum()).float().double()
    weights[RADIUS] += 1 - weights.sum()
    return weights.tolist()
