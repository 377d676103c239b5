"""Bootstrap intervals: seeded, of the right width, blind to what pairs share."""

import numpy as np
import pytest

from msdd.metrics import intervals
from msdd.metrics.intervals import (
    bootstrap,
    bootstraps,
    groups_of,
    paired_difference,
    paired_pooled_psnr,
    pooled_psnr,
)

VALUES = np.random.default_rng(1).normal(25, 4, 400)
ALIKE = np.full(400, 64 * 64)  # pixels


def test_width_is_that_of_the_normal_approximation():
    mean, low, high = bootstrap(VALUES)
    half = 1.96 * VALUES.std() / len(VALUES) ** 0.5
    assert mean == pytest.approx(VALUES.mean(), rel=1e-13)
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.06)


def test_the_same_interval_whatever_the_chunk(monkeypatch):
    expected = bootstrap(VALUES)
    monkeypatch.setattr(intervals, "CHUNK", 1000)
    assert bootstrap(VALUES) == expected


def slow(values: np.ndarray) -> np.ndarray:
    """Means of the images drawn, one resample after the other."""
    random, count = np.random.default_rng(0), len(values)
    return np.array([values[random.integers(count, size=count)].mean() for _ in range(2000)])


def test_columns_share_the_draws_of_the_slow_way():
    columns = {"a": VALUES, "b": VALUES**3}
    found = bootstraps(columns)
    for name, values in columns.items():
        expected = (values.mean(), *np.percentile(slow(values), [2.5, 97.5]))
        assert found[name] == pytest.approx(expected, rel=1e-12)
        assert found[name] == bootstrap(values)


def test_the_order_of_sums_does_not_show():
    """The means are those of exact arithmetic, so the threads of a product cannot show either."""
    values = np.concatenate([VALUES, 1e9 * VALUES, -1e9 * VALUES])
    assert bootstrap(values)[0] == bootstrap(values[::-1])[0]


def test_pooled_psnr_is_that_of_the_mean_error():
    errors = 10 ** (-VALUES / 10)
    expected = -10 * np.log10([errors.mean(), *np.percentile(slow(errors), [97.5, 2.5])])
    assert pooled_psnr(errors, ALIKE) == pytest.approx(tuple(expected), rel=1e-12)


def test_pooled_psnr_weighs_images_by_their_pixels():
    """Also in each resample: of equal errors the interval has no width, whatever their sizes."""
    errors, pixels = 10 ** (-VALUES / 10), np.where(np.arange(400) % 10 < 9, 64.0**2, 1024.0**2)
    assert pooled_psnr(np.full(400, 1e-3), pixels) == pytest.approx((30, 30, 30))
    draws = slow(errors * pixels) / slow(pixels)
    expected = [np.average(errors, weights=pixels), *np.percentile(draws, [97.5, 2.5])]
    assert pooled_psnr(errors, pixels) == pytest.approx(tuple(-10 * np.log10(expected)), rel=1e-9)


def test_paired_pooled_psnr():
    """Errors 1.5 times larger are 1.76 dB worse in every resample; the slow way says the rest."""
    a = 10 ** (-VALUES / 10)
    b = a * np.random.default_rng(3).uniform(0.5, 1.5, len(a))
    assert paired_pooled_psnr(1.5 * a, a, ALIKE) == pytest.approx((-10 * np.log10(1.5),) * 3)
    draws = -10 * np.log10(slow(a) / slow(b))
    expected = (-10 * np.log10(a.mean() / b.mean()), *np.percentile(draws, [2.5, 97.5]))
    assert paired_pooled_psnr(a, b, ALIKE) == pytest.approx(expected, abs=1e-9)


def test_equal_images_have_no_error_and_no_interval():
    perfect = np.array([np.inf, 30.0, 31.0])
    assert bootstraps({"a": perfect, "b": VALUES[:3]})["b"] == bootstrap(VALUES[:3])
    assert paired_difference(perfect, perfect) == (0, 0, 0)
    assert pooled_psnr([0.0, 0.0], [9, 9]) == (np.inf, None, None)
    assert pooled_psnr([0.0, 0.01], [9, 9])[1:] == (None, None)
    assert paired_pooled_psnr([0.0, 0.0], [0.0, 0.0], [9, 9]) == (0, 0, 0)


def test_infinite_values_are_values():
    """An end is infinite where more than 2.5 % of the resamples are; infinities do not cancel."""
    count = 400
    values = np.append(VALUES[: count - 1], np.inf)  # in 63 % of the resamples
    low, high = np.percentile(slow(values), [2.5, 97.5], method="inverted_cdf")
    assert np.isfinite(low) and high == np.inf
    assert bootstrap(values) == pytest.approx((np.inf, low, high), rel=1e-12)
    assert bootstrap([np.inf] * 3) == (np.inf,) * 3
    assert paired_difference([20.0, 30.0], [np.inf, np.inf]) == (-np.inf,) * 3
    assert np.isnan(paired_difference([np.inf, 30.0], [20.0, np.inf])).all()
    assert paired_pooled_psnr([0.0, 0.0], [0.1, 0.2], [9, 9]) == (np.inf,) * 3
    assert np.isnan(bootstrap([1.0, np.nan])).all()


def test_constants_have_no_width():
    assert bootstrap([3.0]) == (3, 3, 3)
    assert bootstrap([2.0] * 9) == (2, 2, 2)


def test_pairing_removes_what_images_share():
    better = VALUES + 0.5 + np.random.default_rng(2).normal(0, 0.1, len(VALUES))
    mean, low, high = paired_difference(better, VALUES)
    assert low < 0.5 < high and high - low < 0.03
    assert mean == pytest.approx(0.5, abs=0.02)


def slow_of_photographs(values: np.ndarray, photographs: np.ndarray) -> np.ndarray:
    """Means of the images of the photographs drawn, one resample after the other."""
    random, own = np.random.default_rng(0), [values[photographs == k] for k in set(photographs)]
    draws = (random.integers(len(own), size=len(own)) for _ in range(2000))
    return np.array([np.concatenate([own[k] for k in draw]).mean() for draw in draws])


def test_photographs_are_redrawn_with_all_their_crops():
    """Of unequal number; crops that say nothing new widen the interval to that of photographs."""
    crops = np.random.default_rng(4).integers(1, 8, 100)
    photographs = np.repeat(np.arange(100), crops)
    values = VALUES[:100][photographs] + np.random.default_rng(5).normal(0, 0.1, len(photographs))
    found = bootstrap(values, photographs)
    ends = np.percentile(slow_of_photographs(values, photographs), [2.5, 97.5])
    assert found == pytest.approx((values.mean(), *ends), rel=1e-12)
    apart = bootstrap(values)
    assert found[2] - found[1] > 1.5 * (apart[2] - apart[1])
    infinite = np.append(values[:-1], np.inf)
    assert bootstrap(infinite, photographs)[0] == np.inf
    assert bootstrap(VALUES, np.arange(400)) == bootstrap(VALUES)


def test_too_few_photographs_leave_the_crops():
    assert groups_of(None) is groups_of([0, 1, 2, 3] * 50) is None
    assert groups_of(list(range(5)) * 2) == list(range(5)) * 2


@pytest.mark.parametrize("photographs, least", [(5, 0.75), (10, 0.85), (40, 0.9)])
def test_intervals_over_photographs_hold_the_mean_of_all(photographs, least):
    """The mean of each photograph is normal, and that of its 20 crops around it."""
    held = []
    for seed in range(100):
        random, groups = np.random.default_rng(seed), np.repeat(np.arange(photographs), 20)
        values = random.normal(size=photographs)[groups] + random.normal(0, 0.5, len(groups))
        _, low, high = bootstrap(values, groups_of(groups.tolist()))
        held.append(low <= 0 <= high)
    assert least < np.mean(held) < 1


def test_nothing_to_average_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([])
    with pytest.raises(ValueError, match="unequal shapes"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="groups of"):
        bootstrap([1.0, 2.0], [0])
