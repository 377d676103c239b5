"""PSNR, SSIM and rounding against closed forms and scikit-image."""

import pytest
import torch
from skimage.metrics import structural_similarity

from msdd.data.pixels import check_finite, from_uint8, to_uint8
from msdd.errors import MsddError
from msdd.metrics.pixel import psnr, squared_error, ssim


def random_uint8(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_uint8_round_trip_and_ends():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_uint8(from_uint8(levels)), levels)
    assert to_uint8(torch.tensor([-3.0, -1.0, 0.0039, 1.0, 3.0])).tolist() == [0, 0, 128, 255, 255]


def test_psnr_of_known_errors_and_per_image():
    """Errors of 1 and 10 levels in one batch: each image has its own PSNR."""
    a = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
    b = a + torch.tensor([1, 10], dtype=torch.uint8).view(2, 1, 1, 1)
    expected = 20 * torch.log10(torch.tensor([255.0, 25.5], dtype=torch.float64))
    torch.testing.assert_close(psnr(a, b), expected)
    assert psnr(a, a).tolist() == [float("inf")] * 2


def test_psnr_of_noise_of_known_variance():
    noise = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 0.01
    found = psnr(torch.full((1, 3, 256, 256), 0.5), 0.5 + noise)
    assert found.item() == pytest.approx(40, abs=0.05)


def noisy_pair(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three pairs, from hardly alike to nearly equal."""
    a = random_uint8(3, 3, height, width)
    noise = random_uint8(3, 3, height, width, seed=1) // torch.tensor([2, 8, 64]).view(3, 1, 1, 1)
    return a, (a.long() + noise - 20).clamp(0, 255).to(torch.uint8)


def scikit_images(a: torch.Tensor, b: torch.Tensor, data_range: int) -> list[float]:
    """Of float64 images in [0, 1]."""
    pairs = zip(a.double().numpy() / 255, b.double().numpy() / 255, strict=True)
    how = {"channel_axis": 0, "data_range": data_range}
    return [structural_similarity(x, y, **how) for x, y in pairs]


@pytest.mark.parametrize("data_range", [1, 2])
@pytest.mark.parametrize("height, width", [(7, 7), (16, 16), (33, 20), (200, 90)])
def test_ssim_equals_scikit_image(height, width, data_range):
    """8 bits to the precision of float32; floats, which take another path, almost exactly."""
    a, b = noisy_pair(height, width)
    expected = scikit_images(a, b, data_range)
    assert ssim(a, b, data_range).tolist() == pytest.approx(expected, abs=2e-7)
    floats = (b.double() / 255, a.double() / 255)
    assert ssim(*floats, data_range).tolist() == pytest.approx(expected, abs=1e-11)
    assert ssim(a, a).tolist() == [1] * 3


@pytest.mark.parametrize("level", [0, 3, 128, 252])
def test_ssim_of_flat_bright_and_dark_images(level):
    """Where float32 sums of squares would cancel."""
    a = random_uint8(2, 3, 64, 64) // 100 + level
    b = random_uint8(2, 3, 64, 64, seed=1) // 100 + level
    assert ssim(a, b).tolist() == pytest.approx(scikit_images(a, b, 1), abs=2e-7)


def test_squared_error_of_8_bits_is_exact_and_that_of_floats_the_same():
    a, b = noisy_pair(300, 301)
    expected = (a.double() - b.double()).square().mean((1, 2, 3)) / 255**2
    assert torch.equal(
        squared_error(a, b) * a[0].numel() * 255**2, expected * a[0].numel() * 255**2
    )
    torch.testing.assert_close(squared_error(a, b.double() / 255), expected, rtol=1e-12, atol=0)


def test_wrong_input_is_named():
    small = random_uint8(1, 3, 6, 9)
    with pytest.raises(ValueError, match="at least 7 px"):
        ssim(small, small)
    with pytest.raises(ValueError, match=r"floats in \[0, 1\]"):
        psnr(from_uint8(small), small)
    with pytest.raises(ValueError, match="unequal shapes"):
        psnr(small, small[..., :3])


def test_check_finite_names_image_and_value():
    images = torch.zeros(3, 3, 4, 4)
    check_finite(images, ["a", "b", "c"])
    images[1, 0, 2, 2], images[2] = float("-inf"), float("nan")
    with pytest.raises(MsddError, match="image b contains -inf"):
        check_finite(images, ["a", "b", "c"])
