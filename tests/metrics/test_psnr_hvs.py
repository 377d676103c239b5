"""PSNR-HVS and PSNR-HVS-M against loops over blocks and a package's figures, and their identities.

They are within 4e-7 dB of the package psnr-hvsm 0.3.0 on the same luma (by hand: astronaut,
chelsea, coffee as JPEG of quality 10, 50 and 90).
"""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.fft import dctn
from skimage import data

from msdd.metrics.pixel import psnr
from msdd.metrics.psnr_hvs import Q, psnr_hvs, psnr_hvs_m


def compressed(array: np.ndarray, quality: int) -> tuple[torch.Tensor, torch.Tensor]:
    """An image (1, 3, H, W) and what JPEG makes of it."""
    Image.fromarray(array).save(file := BytesIO(), "JPEG", quality=quality)
    pair = array, np.array(Image.open(file))
    return tuple(torch.from_numpy(x.copy()).permute(2, 0, 1)[None] for x in pair)


def slow(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Block by block and coefficient by coefficient, for levels (H, W, 3)."""
    a, b = (x @ [0.299, 0.587, 0.114] / 255 for x in (a, b))
    seen, unmasked, count = 0.0, 0.0, 0
    for y in range(0, len(a) - 7, 8):
        for x in range(0, a.shape[1] - 7, 8):
            one, two = a[y : y + 8, x : x + 8], b[y : y + 8, x : x + 8]
            A, B = dctn(one, norm="ortho"), dctn(two, norm="ortho")
            mask = max(slow_mask(one, A), slow_mask(two, B))
            for k, j in np.ndindex(8, 8):
                sensitivity, hides, off = 25.73509 / Q[k][j], 100 / Q[k][j] ** 2, abs(A - B)[k, j]
                seen += (sensitivity * off) ** 2
                if k + j:
                    off = max(0, off - mask / hides)
                unmasked += (sensitivity * off) ** 2
            count += 64
    return -10 * np.log10(seen / count), -10 * np.log10(unmasked / count)


def slow_mask(block: np.ndarray, X: np.ndarray) -> float:
    energy = sum(100 / Q[k][j] ** 2 * X[k, j] ** 2 for k, j in np.ndindex(8, 8) if k + j)
    spread = lambda x: x.var(ddof=1) * x.size  # noqa: E731
    parts = sum(spread(block[y : y + 4, x : x + 4]) for y in (0, 4) for x in (0, 4))
    return (energy * parts / spread(block)) ** 0.5 / 32 if spread(block) else 0.0


@pytest.mark.parametrize("quality", [10, 90])
def test_both_are_the_published_formulas(quality):
    a, b = compressed(data.astronaut()[100:145, 200:260], quality)  # sides of no whole blocks
    expected = slow(*[x[0].permute(1, 2, 0).double().numpy() for x in (a, b)])
    found = psnr_hvs(a, b).item(), psnr_hvs_m(a, b).item()
    assert found == pytest.approx(expected, abs=1e-9)
    assert psnr_hvs_m(a.double() / 255, b.double() / 255).item() == pytest.approx(
        found[1], abs=1e-9
    )


# By the NumPy functions of the package psnr-hvsm 0.3.0 (2026-12-01), which is not installed: its
# psnr_hvs_hvsm of unrounded luma, 0.299 R + 0.587 G + 0.114 B, over 255.
BY_PACKAGE = {
    "astronaut": (34.800449, 36.609245),
    "chelsea": (37.209770, 41.533726),
    "coffee": (36.907272, 39.953020),
}


@pytest.mark.parametrize("name", BY_PACKAGE)
def test_the_tables_are_the_authors_own(name):
    """A photograph in 16 levels. One more in any entry of Q is 3e-5 dB in one of the figures."""
    levels = torch.from_numpy(getattr(data, name)()[:256, :256].copy()).permute(2, 0, 1)[None]
    pair = levels, levels // 16 * 16 + 8
    found = psnr_hvs(*pair).item(), psnr_hvs_m(*pair).item()
    assert found == pytest.approx(BY_PACKAGE[name], abs=2e-6)


def test_a_constant_error_is_that_of_its_mean_alone():
    """A block's first coefficient is 8 times its mean; nothing masks it."""
    a = torch.full((2, 3, 16, 16), 100, dtype=torch.uint8)
    b = a + 4
    weighed = (8 * 4 / 255 * 25.73509 / Q[0][0]) ** 2 / 64
    assert psnr_hvs(a, b).tolist() == pytest.approx([-10 * np.log10(weighed)] * 2)
    assert psnr_hvs_m(a, b).tolist() == pytest.approx(psnr_hvs(a, b).tolist())


def test_noise_is_seen_in_the_sky_and_hidden_in_grass():
    """PSNR cannot tell the two apart; masking can."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(-6, 7, (1, 1, 64, 64), generator=generator).expand(1, 3, 64, 64)
    texture = torch.randint(-60, 61, (1, 1, 64, 64), generator=generator).expand(1, 3, 64, 64)
    smooth, rough = torch.full((1, 3, 64, 64), 128), 128 + texture
    pairs = [(x.to(torch.uint8), (x + noise).to(torch.uint8)) for x in (smooth, rough)]
    sky, grass = pairs
    assert psnr(*sky).item() == pytest.approx(psnr(*grass).item())
    assert psnr_hvs(*sky).item() == pytest.approx(psnr_hvs(*grass).item(), abs=1e-6)
    assert psnr_hvs_m(*grass).item() > psnr_hvs_m(*sky).item() + 3


def test_equal_images_and_sides_too_small():
    a, _ = compressed(data.coffee()[:32, :32], 50)
    assert psnr_hvs(a, a).tolist() == psnr_hvs_m(a, a).tolist() == [math.inf]
    with pytest.raises(ValueError, match="at least 8 px"):
        psnr_hvs_m(a[..., :7, :], a[..., :7, :])
