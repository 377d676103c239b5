"""Bootstrap intervals: seeded, of the right width, blind to what pairs share."""

import numpy as np
import pytest

from msdd.evaluate import intervals
from msdd.evaluate.intervals import bootstrap, paired

VALUES = np.random.default_rng(1).normal(25, 4, 400)


def test_width_is_that_of_the_normal_approximation():
    mean, low, high = bootstrap(VALUES)
    half = 1.96 * VALUES.std() / len(VALUES) ** 0.5
    assert mean == VALUES.mean()
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.06)


def test_same_seed_same_interval_whatever_the_chunk(monkeypatch):
    expected = bootstrap(VALUES)
    monkeypatch.setattr(intervals, "CHUNK", 1000)
    assert bootstrap(VALUES) == expected != bootstrap(VALUES, seed=1)


def test_constants_have_no_width():
    assert bootstrap([3.0]) == (3, 3, 3)
    assert bootstrap([2.0] * 9) == (2, 2, 2)


def test_pairing_removes_what_images_share():
    better = VALUES + 0.5 + np.random.default_rng(2).normal(0, 0.1, len(VALUES))
    mean, low, high = paired(better, VALUES)
    assert low < 0.5 < high and high - low < 0.03
    assert mean == pytest.approx(0.5, abs=0.02)


def test_nothing_to_average_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])
    with pytest.raises(ValueError, match="unequal shapes"):
        paired([1.0, 2.0], [1.0])
