"""Crops lie inside the photograph, are never enlarged, and each is a function of its number."""

import numpy as np
import pytest
from PIL import Image

from msdd.data.crops import box, crops, luma_deviation, reduce, shares
from msdd.data.image_file import PhotographError


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_boxes_are_squares_inside_with_uniform_sides():
    draws = np.random.default_rng(0).random((4000, 3))
    boxes = np.array([box(draw, (300, 200), 32, (0.3, 0.9)) for draw in draws])
    sides = boxes[:, 2] - boxes[:, 0]
    assert np.array_equal(sides, boxes[:, 3] - boxes[:, 1])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 300 and boxes[:, 3].max() <= 200
    assert sides.min() == 60 and sides.max() == 180 and abs(sides.mean() - 120) < 3
    assert abs((boxes[:, 0] / (300 - sides)).mean() - 0.5) < 0.02


def test_the_last_pixel_is_reached():
    last = np.array([1, 1, 1]) - 1e-9
    assert box(last, (300, 200), 32, (1.0, 1.0)) == (100, 0, 300, 200)


def test_crops_are_never_enlarged():
    draws = np.random.default_rng(0).random((100, 3))
    assert {b[2] - b[0] for b in (box(d, (40, 50), 32, (0.1, 0.5)) for d in draws)} == {32}
    with pytest.raises(PhotographError, match="31 x 50 pixels") as caught:
        crops(noise(50, 31), (0, "a.png"), 0, 1, 32, (0.3, 0.9), 0.0)
    assert caught.value.kind == "too_small"


def test_a_crop_of_exactly_the_resolution_is_the_pixels_themselves():
    pixels = noise(32, 32)
    assert np.array_equal(crops(pixels, (0, "a"), 0, 1, 32, (0.3, 0.9), 0.0)[0], pixels)


def test_more_crops_change_none_before():
    settings = (16, (0.3, 0.9), 0.9)
    all_at_once = crops(noise(80, 60), (0, "a.png"), 0, 7, *settings)
    parts = [crops(noise(80, 60), (0, "a.png"), *part, *settings) for part in ((0, 3), (3, 7))]
    assert np.array_equal(all_at_once, np.concatenate(parts))
    assert not np.array_equal(all_at_once, crops(noise(80, 60), (0, "b.png"), 0, 7, *settings))


def test_reduction_is_antialiased():
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (128, 128))
    image = Image.fromarray(np.repeat(fine[..., None], 3, axis=-1))
    reduced = np.asarray(reduce(image, (0, 0, 256, 256), 32)).astype(int)
    assert abs(reduced - 127.5).max() <= 1


def test_flat_crops_are_drawn_again():
    pixels = np.full((400, 400, 3), 128, np.uint8)
    pixels[:, :120] = noise(40, 12).repeat(10, axis=0).repeat(10, axis=1)
    flat = [
        np.mean([luma_deviation(Image.fromarray(c)) < 0.04 for c in crops(pixels, *key, floor)])
        for key in [((0, "a"), 0, 200, 16, (0.1, 0.2))]
        for floor in (0.0, 0.04)
    ]
    assert flat[0] > 0.4 and flat[1] < 0.1


def test_among_flat_crops_the_most_contrasted_is_kept():
    ramp = np.repeat((np.arange(200) // 10).astype(np.uint8)[None, :, None], 200, axis=0)
    pixels = np.repeat(ramp, 3, axis=-1)
    kept = [
        np.mean([luma_deviation(Image.fromarray(c)) for c in crops(pixels, (0, "a"), 0, 50, *rest)])
        for rest in ((16, (0.1, 1.0), 0.0), (16, (0.1, 1.0), 1.0))
    ]
    assert kept[1] > 1.4 * kept[0]


def test_shares_are_balanced_and_only_grow():
    names = [f"{k}.png" for k in range(23)]
    for count in (5, 23, 100, 1000):
        before = shares(names, count)
        after = shares(names[4:20], count)
        assert sum(before.values()) == sum(after.values()) == count
        assert max(before.values()) - min(before.values()) <= 1
        assert all(after[name] >= before[name] for name in after)
    assert [name for name, n in shares(names, 5).items() if n] != names[:5]
