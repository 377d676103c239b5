"""Levels and times of the scales against their closed forms."""

import pytest
import torch

from msdd.flow.scales import split_time

COUNTS = range(1, 7)


@pytest.mark.parametrize("S", COUNTS)
def test_levels(S):
    """e_i = 1 - (i+1)/S; s_0 = 1 and s_i = 2e/(1+e), which with e = 1 - i/S is 2(S-i)/(2S-i)."""
    ends = [1 - (i + 1) / S for i in range(S)]
    assert [scale.end for scale in split_time(S)] == pytest.approx(ends)
    starts = [2 * (S - i) / (2 * S - i) for i in range(S)]
    assert [scale.start for scale in split_time(S)] == pytest.approx(starts, rel=1e-15)
    assert split_time(S)[0].start == 1 and split_time(S)[-1].end == 0


@pytest.mark.parametrize("ends", [(0.0,), (0.1, 0.0), (0.9, 0.85, 0.2, 0.0)])
def test_other_levels(ends):
    """The ends are those given, and each start is the one that its jump needs."""
    scales = split_time(len(ends), ends)
    assert tuple(scale.end for scale in scales) == ends and scales[0].start == 1
    for before, scale in zip(scales, scales[1:], strict=False):
        assert scale.start == 2 * before.end / (1 + before.end)


@pytest.mark.parametrize("scales", [*map(split_time, COUNTS), split_time(3, (0.9, 0.2, 0.0))])
def test_each_scale_takes_its_share_of_the_global_time(scales):
    """T falls from 1 to 0 without gaps; shares are proportional to s - e."""
    assert scales[0].first == 1 and scales[-1].last == 0
    assert [a.last for a in scales[:-1]] == [b.first for b in scales[1:]]
    lengths = torch.tensor([scale.start - scale.end for scale in scales], dtype=torch.float64)
    shares = [scale.first - scale.last for scale in scales]
    assert shares == pytest.approx((lengths / lengths.sum()).tolist(), rel=1e-12)


def test_time_is_linear_inside_a_scale():
    """S = 2 by hand: flow lengths 1/2 and 2/3, so the coarse scale has 3/7 of the time."""
    coarse, fine = split_time(2)
    assert coarse.last == fine.first == pytest.approx(4 / 7)
    times = fine.time(torch.tensor([1.0, 0.25, 0.0]))
    torch.testing.assert_close(times, torch.tensor([4 / 7, 1 / 7, 0]))
    assert coarse.time(0.5) == pytest.approx(11 / 14)


def test_resolutions_double():
    factors = [(scale.index, scale.factor) for scale in split_time(4)]
    assert factors == [(0, 8), (1, 4), (2, 2), (3, 1)]


def test_no_scale_is_an_error():
    with pytest.raises(ValueError, match="at least one scale, not 0"):
        split_time(0)


@pytest.mark.parametrize(
    "ends, wrong",
    [
        ((0.5, 0.0), "has 2 levels for 3 scales"),
        ((0.5, 0.5, 0.0), "must fall from below 1 to 0"),
        ((1.0, 0.5, 0.0), "must fall from below 1 to 0"),
        ((0.9, 0.5, 0.1), "must fall from below 1 to 0"),
        ((0.9, float("nan"), 0.0), "must fall from below 1 to 0"),
    ],
)
def test_levels_that_are_none(ends, wrong):
    with pytest.raises(ValueError, match=wrong):
        split_time(3, ends)
