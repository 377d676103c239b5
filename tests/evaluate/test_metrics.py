"""PSNR, SSIM and rounding against closed forms and scikit-image."""

import pytest
import torch
from skimage.metrics import structural_similarity

from msdd.errors import MsddError
from msdd.evaluate.metrics import check_finite, from_uint8, psnr, ssim, to_uint8


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


@pytest.mark.parametrize("height, width", [(7, 7), (16, 16), (33, 20)])
def test_ssim_equals_scikit_image(height, width):
    a = random_uint8(3, 3, height, width)
    noise = random_uint8(3, 3, height, width, seed=1) // torch.tensor([2, 8, 64]).view(3, 1, 1, 1)
    b = (a.long() + noise - 20).clamp(0, 255).to(torch.uint8)
    expected = [
        structural_similarity(
            (x / 255.0).numpy(), (y / 255.0).numpy(), channel_axis=0, data_range=1
        )
        for x, y in zip(a.double(), b.double(), strict=True)
    ]
    assert ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)
    assert ssim(a, a).tolist() == pytest.approx([1] * 3)


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
