"""The papers' crops against torchvision's own transforms, and the ADM crop against its steps."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from msdd.data.centre_crops import CROPS, adm
from msdd.weights.optional_imports import import_torchvision

SIZES = [(512, 512), (451, 300), (300, 451), (129, 64), (61, 90)]  # (width, height)


def photograph(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(data.astronaut()).resize(size, Image.Resampling.BOX)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
def test_torchvisions_crops_to_the_pixel(kernel, size):
    transforms = import_torchvision().transforms
    mode = transforms.InterpolationMode(kernel)
    theirs = transforms.Compose(
        [transforms.Resize(64, interpolation=mode, antialias=True), transforms.CenterCrop(64)]
    )
    image = photograph(size)
    np.testing.assert_array_equal(CROPS[kernel](image, 64), theirs(image))


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("size", SIZES)
def test_every_crop_is_a_square_of_the_right_side(crop, size):
    assert CROPS[crop](photograph(size), 64).size == (64, 64)


def test_adm_of_a_power_of_two_is_repeated_block_means():
    """Pillow rounds after the rows and again after the columns; bicubic has nothing to do."""
    expected = np.asarray(photograph((512, 512))).astype(int)
    for _ in range(3):
        rows = (expected[:, ::2] + expected[:, 1::2] + 1) // 2
        expected = (rows[::2] + rows[1::2] + 1) // 2
    np.testing.assert_array_equal(adm(photograph((512, 512)), 64), expected)


def test_adm_halves_only_while_the_side_still_fits_twice():
    """127 px are brought to 64 by bicubic alone, 128 px by one halving."""
    image = photograph((127, 127))
    direct = image.resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(adm(image, 64), direct)
    image = photograph((128, 128))
    np.testing.assert_array_equal(adm(image, 64), image.resize((64, 64), Image.Resampling.BOX))


@pytest.mark.parametrize("width, left", [(65, (0, 0)), (67, (1, 2)), (69, (2, 2))])
def test_an_odd_excess_is_halved_down_by_some_and_to_even_by_torchvision(width, left):
    """The column's number is its red level."""
    columns = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (64, width, 3))
    image = Image.fromarray(np.ascontiguousarray(columns))
    found = [np.asarray(CROPS[crop](image, 64))[0, 0, 0] for crop in ("adm", "bilinear")]
    assert tuple(found) == left
    assert np.asarray(CROPS["lanczos"](image, 64))[0, 0, 0] == left[0]
