"""Crops lie inside the photograph, and each is a function of its number."""

import numpy as np
import pytest
from PIL import Image

from msdd.data.centre_crops import adm
from msdd.data.crops import adm_crop, adm_random, box, crops, luma_deviation, shares, square
from msdd.data.image_file import PhotographError
from msdd.params.sections import Data


def settings(resolution, crop_side, min_contrast=0.0, crop="random", enlarge=False):
    return Data(
        photographs="unused",
        held_out=None,
        held_out_fraction=0.1,
        store="crops",
        store_side=None,
        resolution=resolution,
        train_crops=1,
        held_out_crops=1,
        crop=crop,
        crop_side=crop_side,
        enlarge=enlarge,
        min_contrast=min_contrast,
        max_bad_fraction=0.0,
        to_srgb=False,
    )


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


def test_crops_are_not_enlarged_unasked():
    draws = np.random.default_rng(0).random((100, 3))
    assert {b[2] - b[0] for b in (box(d, (40, 50), 32, (0.1, 0.5)) for d in draws)} == {32}
    with pytest.raises(PhotographError, match="31 x 50 pixels") as caught:
        crops(noise(50, 31), (0, "a.png"), 0, 1, settings(32, (0.3, 0.9)))
    assert caught.value.kind == "too_small"


def test_a_crop_of_exactly_the_resolution_is_the_pixels_themselves():
    pixels = noise(32, 32)
    assert np.array_equal(crops(pixels, (0, "a"), 0, 1, settings(32, (0.3, 0.9)))[0], pixels)


def test_a_small_photograph_is_enlarged_where_that_is_wanted():
    """Its crop is a whole square of it, by the same kernel."""
    pixels = noise(30, 20)
    data = settings(32, (0.3, 0.9), enlarge=True)
    (crop,) = crops(pixels, (0, "a"), 0, 1, data)
    image, boxes = Image.fromarray(pixels), [(0, top, 20, top + 20) for top in range(11)]
    squares = [np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC, b)) for b in boxes]
    assert any(np.array_equal(crop, one) for one in squares)
    with pytest.raises(PhotographError, match="200000 x 1 pixels"):
        crops(noise(1, 200000), (0, "a"), 0, 1, data)


@pytest.mark.parametrize("size", [(300, 200), (40, 60), (33, 32)])
def test_adm_crops_are_squares_of_the_resized_photograph(size):
    """`random_crop_arr` of ADM: the short side is uniform from 32 / 1.0 to 32 / 0.8 pixels."""
    image = Image.fromarray(noise(*size))
    draws = np.random.default_rng(0).random((40, 3))
    for u, v, w in draws:
        short = 32 + int(u * 9)  # 32 to 40
        resized = np.asarray(adm_by_arrays(image, short))
        top, left = int(w * (resized.shape[0] - 31)), int(v * (resized.shape[1] - 31))
        crop = np.asarray(adm_random(image, np.array([u, v, w]), 32, (0.8, 1.0)))
        assert np.array_equal(crop, resized[top : top + 32, left : left + 32])


def adm_by_arrays(image, short):
    """Halved while it stays large enough, then bicubic, as Dhariwal and Nichol's code has it."""
    while min(*image.size) >= 2 * short:
        image = image.resize(tuple(x // 2 for x in image.size), resample=Image.BOX)
    scale = short / min(*image.size)
    return image.resize(tuple(round(x * scale) for x in image.size), resample=Image.BICUBIC)


def test_an_adm_crop_of_the_whole_short_side_has_its_size():
    ends = [np.array(draw) for draw in ((0, 0, 0), (1 - 1e-9, 1 - 1e-9, 1 - 1e-9))]
    for draw in ends:
        assert adm_random(Image.fromarray(noise(50, 90)), draw, 32, (0.8, 1.0)).size == (32, 32)


def test_centre_crops_are_those_of_the_protocols():
    pixels, data = noise(20, 50), settings(32, (0.8, 1.0), crop="adm", enlarge=True)
    expected = np.asarray(adm(Image.fromarray(pixels), 32))
    assert np.array_equal(adm_crop(pixels, "a", data)[0], expected)


def test_more_crops_change_none_before():
    data = settings(16, (0.3, 0.9), 0.9)
    all_at_once = crops(noise(80, 60), (0, "a.png"), 0, 7, data)
    parts = [crops(noise(80, 60), (0, "a.png"), *part, data) for part in ((0, 3), (3, 7))]
    assert np.array_equal(all_at_once, np.concatenate(parts))
    assert not np.array_equal(all_at_once, crops(noise(80, 60), (0, "b.png"), 0, 7, data))


def test_reduction_is_antialiased():
    fine = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (128, 128))
    image = Image.fromarray(np.repeat(fine[..., None], 3, axis=-1))
    reduced = np.asarray(square(image, np.zeros(3), 32, (1.0, 1.0))).astype(int)
    assert abs(reduced - 127.5).max() <= 1


def test_flat_crops_are_drawn_again():
    pixels = np.full((400, 400, 3), 128, np.uint8)
    pixels[:, :120] = noise(40, 12).repeat(10, axis=0).repeat(10, axis=1)
    flat = [
        np.mean(
            [
                luma_deviation(Image.fromarray(c)) < 0.04
                for c in crops(pixels, (0, "a"), 0, 200, data)
            ]
        )
        for data in (settings(16, (0.1, 0.2)), settings(16, (0.1, 0.2), 0.04))
    ]
    assert flat[0] > 0.4 and flat[1] < 0.1


def test_among_flat_crops_the_most_contrasted_is_kept():
    ramp = np.repeat((np.arange(200) // 10).astype(np.uint8)[None, :, None], 200, axis=0)
    pixels = np.repeat(ramp, 3, axis=-1)
    kept = [
        np.mean([luma_deviation(Image.fromarray(c)) for c in crops(pixels, (0, "a"), 0, 50, data)])
        for data in (settings(16, (0.1, 1.0)), settings(16, (0.1, 1.0), 1.0))
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
