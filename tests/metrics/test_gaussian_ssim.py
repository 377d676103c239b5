"""SSIM with a Gaussian window and MS-SSIM against torchmetrics 1.9, pytorch-msssim 1.0, and a slow
version of the published formulas."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from msdd.metrics.gaussian_ssim import SMALLEST, gaussian_ssim, ms_ssim
from msdd.metrics.pixel import ssim
from msdd.weights.optional_imports import import_torchvision

CROPS = [(data.astronaut, 192, 192), (data.coffee, 200, 301), (data.chelsea, 171, 225)]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Photographs of even and of odd sides, and their JPEGs; two of each."""
    return [compressed(photograph()[:height, :width]) for photograph, height, width in CROPS]


def compressed(photograph: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    jpegs = []
    for quality in (10, 70):
        Image.fromarray(photograph).save(file := BytesIO(), "JPEG", quality=quality)
        jpegs.append(np.asarray(Image.open(file)))
    stacked = (np.stack([photograph] * 2), np.stack(jpegs))
    return tuple(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous() for images in stacked)


def windows(plane: np.ndarray) -> np.ndarray:
    """All 11 x 11 windows of a plane, and their weights, one by one."""
    return np.lib.stride_tricks.sliding_window_view(plane, (11, 11))


def slow_similarities(a: np.ndarray, b: np.ndarray, zero: float, data_range: float):
    """SSIM and contrast-structure of every window inside, as Wang et al. 2004 write them."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    mean = lambda x: (windows(x) * weights).sum((-1, -2))  # noqa: E731
    a, b = a - zero, b - zero
    mu_a, mu_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    contrast = (2 * (mean(a * b) - mu_a * mu_b) + c2) / (variance_a + variance_b + c2)
    return contrast * (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1), contrast


@pytest.mark.parametrize("zero, level", [("black", 0), ("grey", 127.5)])
def test_gaussian_ssim_is_the_published_formula(zero, level):
    a, b = compressed(data.astronaut()[90:129, 200:251])
    padded = (
        np.pad(a.double(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect"),
        np.pad(b.double(), ((0, 0), (0, 0), (5, 5), (5, 5)), mode="reflect"),
    )
    expected = [
        np.mean([slow_similarities(x, y, level, 255)[0] for x, y in zip(*image, strict=True)])
        for image in zip(*padded, strict=True)
    ]
    assert gaussian_ssim(a, b, zero).tolist() == pytest.approx(expected, abs=2e-7)


def test_gaussian_ssim_is_that_of_torchmetrics(pairs):
    """In float64; in float32 torchmetrics cancels, and is up to 3e-5 off."""
    import_torchvision()
    from torchmetrics.functional.image import structural_similarity_index_measure as theirs

    for a, b in pairs:
        unit = (b.double() / 255, a.double() / 255)
        expected = theirs(*unit, reduction="none", data_range=1.0)
        centred = theirs(*(2 * x - 1 for x in unit), reduction="none", data_range=(-1.0, 1.0))
        assert gaussian_ssim(a, b).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
        assert gaussian_ssim(*unit).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
        assert gaussian_ssim(a, b, "grey").tolist() == pytest.approx(centred.tolist(), abs=1e-6)
        singles = theirs(*(x.float() for x in unit), reduction="none", data_range=1.0)
        assert gaussian_ssim(a, b).tolist() == pytest.approx(singles.tolist(), abs=5e-5)


def test_ms_ssim_is_that_of_pytorch_msssim(pairs):
    from pytorch_msssim import ms_ssim as theirs

    for a, b in pairs:
        expected = theirs(a.double(), b.double(), size_average=False)
        assert ms_ssim(a, b).tolist() == pytest.approx(expected.tolist(), abs=5e-6)
        assert ms_ssim(a.double() / 255, b.double() / 255).tolist() == ms_ssim(a, b).tolist()


def test_ms_ssim_is_the_published_product():
    a, b = compressed(data.astronaut()[:162, :163])
    a, b = a[:1], b[:1]
    weights, sides, product = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), (a, b), 1.0
    sides = [x[0].double().numpy() for x in sides]
    for scale, weight in enumerate(weights):
        both = [slow_similarities(x, y, 0, 255) for x, y in zip(*sides, strict=True)]
        last = scale == len(weights) - 1
        product = product * np.array([s[0 if last else 1].mean() for s in both]) ** weight
        sides = [halved(x) for x in sides]
    assert ms_ssim(a, b).item() == pytest.approx(product.mean(), abs=1e-6)


def halved(planes: np.ndarray) -> np.ndarray:
    """Means of 2 x 2; an odd side gets black at both ends, as in pytorch-msssim."""
    odd = [(side % 2, side % 2) for side in planes.shape[1:]]
    planes = np.pad(planes, [(0, 0), *odd])
    height, width = (side // 2 * 2 for side in planes.shape[1:])
    blocks = planes[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2)
    return blocks.mean((2, 4))


def test_equal_images_are_exactly_1_and_a_flat_pair_is_known(pairs):
    a, _ = pairs[0]
    assert gaussian_ssim(a, a).tolist() == ms_ssim(a, a).tolist() == [1, 1]
    black, grey = torch.zeros(1, 3, 176, 192), torch.full((1, 3, 176, 192), 0.5)
    assert gaussian_ssim(black, grey).item() == pytest.approx(1e-4 / (0.25 + 1e-4), abs=1e-6)
    assert ms_ssim(black, grey).item() == pytest.approx((1e-4 / 0.2501) ** 0.1333, rel=1e-4)


def test_the_uniform_window_is_another_number(pairs):
    """So the two are never under one name."""
    for a, b in pairs:
        assert (gaussian_ssim(a, b) - ssim(a, b)).abs().min() > 1e-3


def test_too_small_images():
    small = torch.zeros(2, 3, SMALLEST - 1, 300, dtype=torch.uint8)
    assert ms_ssim(small, small).isnan().tolist() == [True, True]
    tiny = small[..., :5, :]
    with pytest.raises(ValueError, match="at least 6 px"):
        gaussian_ssim(tiny, tiny)


def test_strips_change_nothing(pairs, monkeypatch):
    import msdd.metrics.gaussian_ssim as module

    a, b = pairs[1]
    whole = gaussian_ssim(a, b)
    for rows in (1, 7, 390):
        monkeypatch.setattr(module, "CHUNK", (rows + 10) * 3 * 609)
        torch.testing.assert_close(gaussian_ssim(a, b), whole, rtol=0, atol=1e-9)
