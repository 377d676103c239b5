"""Patches of images: where they lie, and that none is a copy."""

import numpy as np
import pytest
import torch

from msdd.metrics.patches import corners, patches

# Images of Kodak's size have 8 patches of 256 px: 192 of the suite's 24.
SIZES = {(512, 768): 8, (768, 512): 8, (256, 256): 1, (255, 900): 0, (383, 900): 3, (384, 900): 6}


def slowly(image: np.ndarray, side: int) -> list[np.ndarray]:
    """Both grids by cutting the image into cells, as `update_patch_fid` unfolds it."""
    found, half = [], side // 2
    grids = [image, image[half:, half:]] if min(image.shape) >= 1.5 * side else [image]
    for grid in grids:
        rows, columns = (length // side for length in grid.shape)
        whole = grid[: rows * side, : columns * side]
        cells = whole.reshape(rows, side, columns, side).swapaxes(1, 2)
        found += list(cells.reshape(-1, side, side))
    return found


@pytest.mark.parametrize("size", SIZES)
def test_patches_lie_on_both_grids(size):
    image = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    expected = slowly(image, 256)
    found = list(patches(torch.from_numpy(image)[None, None], 256))
    assert len(corners(*size, 256)) == len(found) == len(expected) == SIZES[size]
    assert all(np.array_equal(a[0], b) for a, b in zip(found, expected, strict=True))


def test_patches_share_the_memory_of_their_images():
    images = torch.zeros(2, 3, 96, 64)
    assert {x.untyped_storage().data_ptr() for x in patches(images, 32)} == {images.data_ptr()}
