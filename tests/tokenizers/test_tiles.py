"""Tiles on an image: they cover it, their shares sum to one, and a reflection has no end."""

import pytest
import torch

from msdd.tokenizers.tiles import Layout, enlarged, mirror_pad, mirrored, nearest, shares, starts

SIDES = [(32, 32, 24), (33, 32, 24), (100, 32, 24), (100, 32, 32), (100, 32, 7), (56, 32, 24)]


@pytest.mark.parametrize(("side", "tile", "stride"), SIDES)
def test_tiles_cover_a_side_and_end_with_it(side, tile, stride):
    begins = starts(side, tile, stride)
    assert begins[0] == 0 and begins[-1] == side - tile
    assert all(0 < b - a <= stride for a, b in zip(begins, begins[1:], strict=False))


@pytest.mark.parametrize(("side", "tile", "stride"), SIDES)
def test_the_shares_of_a_pixel_sum_to_one_and_fall_towards_an_inner_border(side, tile, stride):
    begins = starts(side, tile, stride)
    total = torch.zeros(side)
    for begin, share in zip(begins, shares(begins, tile), strict=True):
        assert (share > 0).all()
        total[begin : begin + tile] += share
    torch.testing.assert_close(total, torch.ones(side))
    if stride == 24 and len(begins) > 1:
        assert shares(begins, tile)[0, -1] <= 0.25 and shares(begins, tile)[0, 0] == 1


def test_a_position_is_of_the_tile_that_sees_most_around_it():
    begins = starts(100, 32, 24)
    for position, tile in enumerate(nearest(begins, 32, torch.arange(100) + 0.5)):
        around = [min(position - b, b + 31 - position) for b in begins]
        assert around[tile] == max(around)


def test_a_reflection_goes_on_for_as_long_as_it_takes():
    assert mirrored(4, 11).tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    assert mirrored(1, 3).tolist() == [0, 0, 0]
    image = torch.arange(12.0).view(1, 1, 3, 4)
    expected = torch.nn.functional.pad(image, (0, 3, 0, 2), mode="reflect")
    assert torch.equal(mirror_pad(image, 5, 7), expected)


def test_sides_are_enlarged_to_multiples():
    assert [enlarged(side, 32, 8) for side in (7, 32, 33, 40)] == [32, 32, 40, 40]


def test_the_last_tile_of_a_layout_ends_with_the_image():
    layout = Layout.over(50, 90, 32, (24, 16))
    assert layout.size == (50, 90)
    assert layout.window(1, 4) == (slice(18, 50), slice(58, 90))
