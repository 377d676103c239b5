"""PSNR-HVS and PSNR-HVS-M: errors of 8 x 8 cosine transforms of luma, weighed by what eyes see.

Egiazarian et al. 2006 ("New full-reference quality metrics based on HVS"), Ponomarenko et al. 2007
("On between-coefficient contrast masking of DCT basis functions"). Their tables of sensitivity and
of masking are 25.73509 / Q and (10 / Q)^2 of JPEG's example table Q for luma, to all digits that
they print. Images are (B, 3, H, W), both uint8, or floats in [0, 1]; values are in decibels, and
infinite for images in which no difference is seen.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.metrics.pixel import check_pair, in_chunks, unit

SIDE = 8  # of a block; what is left over at the right and at the bottom is not seen
LUMA = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601
Q = (  # ITU-T T.81, table K.1
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def psnr_hvs(a: Tensor, b: Tensor) -> Tensor:
    """PSNR-HVS (B,), float64. ValueError for sides under 8 px, floats outside [0, 1], or unequal
    shapes."""
    check_sides(a, b)
    return -10 * in_chunks(plain_error, a, b).log10()


def psnr_hvs_m(a: Tensor, b: Tensor) -> Tensor:
    """PSNR-HVS-M (B,): of differences, only what the contrast of their block does not mask."""
    check_sides(a, b)
    return -10 * in_chunks(masked_error, a, b).log10()


def check_sides(a: Tensor, b: Tensor) -> None:
    check_pair(a, b)
    if min(a.shape[-2:]) < SIDE:
        raise ValueError(f"PSNR-HVS needs sides of at least {SIDE} px, not {tuple(a.shape[-2:])}")


def plain_error(a: Tensor, b: Tensor) -> Tensor:
    return error(coefficients(blocks(a) - blocks(b)))


def masked_error(a: Tensor, b: Tensor) -> Tensor:
    x, y = blocks(a), blocks(b)
    X, Y = coefficients(x), coefficients(y)
    mask = torch.maximum(masking(x, X), masking(y, Y))[..., None, None]
    threshold = mask * (table(a) / 10) ** 2
    threshold[..., 0, 0] = 0  # the mean of a block masks nothing and is not masked
    return error(((X - Y).abs() - threshold).clamp(min=0))


def blocks(x: Tensor) -> Tensor:
    """Luma in [0, 1] of images as float64 blocks (B, n, 8, 8)."""
    luma = (unit(x) * torch.tensor(LUMA, dtype=torch.float64, device=x.device)[:, None, None]).sum(
        1
    )
    cut = F.unfold(luma[:, None], SIDE, stride=SIDE)  # (B, 64, n)
    return cut.mT.unflatten(-1, (SIDE, SIDE))


def coefficients(x: Tensor) -> Tensor:
    """Orthonormal cosine transforms (type II) of blocks (.., 8, 8)."""
    k = torch.arange(SIDE, dtype=torch.float64, device=x.device)
    basis = torch.cos(math.pi * k[:, None] * (2 * k + 1) / (2 * SIDE)) * (2 / SIDE) ** 0.5
    basis[0] /= 2**0.5
    return basis @ x @ basis.T


def masking(x: Tensor, X: Tensor) -> Tensor:
    """How much blocks x (.., 8, 8) with coefficients X hide, (..,): the energy of their contrast,
    less of it where the quarters of a block vary less than the block, as at an edge."""
    seen = (10 / table(x) * X).square()
    contrast = seen.sum((-1, -2)) - seen[..., 0, 0]
    half = SIDE // 2
    quarters = x.unflatten(-1, (2, half)).unflatten(-3, (2, half)).transpose(-3, -2)
    parts = (half**2 * quarters.var((-1, -2))).sum((-1, -2))
    whole = SIDE**2 * x.var((-1, -2))
    shares = torch.where(whole > 0, parts / whole, 0)
    return (contrast * shares).sqrt() / 32


def error(difference: Tensor) -> Tensor:
    """Mean over blocks and coefficients (B,) of what is seen of differences, squared."""
    return (25.73509 / table(difference) * difference).square().mean((-1, -2, -3))


def table(like: Tensor) -> Tensor:
    return torch.tensor(Q, dtype=torch.float64, device=like.device)
