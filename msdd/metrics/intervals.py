"""Seeded bootstrap confidence intervals of means, pooled PSNRs and paired differences."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

CHUNK = 500_000  # counts at once, which bounds memory
Interval = tuple[float, float, float]  # the figure and both ends
MaybeInterval = Interval | tuple[float, None, None]


def bootstrap(values: ArrayLike, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of the values (N,) and the ends of its 95 % percentile interval (Efron 1979).

    Images are redrawn with replacement. Infinite values count: a resample that has drawn one is
    infinite. Where values of both signs are, or NaN, the mean is NaN, and so are the ends.
    ValueError without values.
    """
    return bootstraps({"": values}, resamples, seed)[""]


def bootstraps(
    columns: Mapping[str, ArrayLike], resamples: int = 2000, seed: int = 0
) -> dict[str, Interval]:
    """`bootstrap` of many values of the same images, from the same draws: much faster."""
    values = round_to_grid(stack_columns(columns.values()))
    with np.errstate(invalid="ignore"):
        means, draws = values.mean(0), resampled_means(values, resamples, seed)
    rows = zip(columns, means, draws.T, strict=True)
    return {name: interval(mean, column) for name, mean, column in rows}


def paired_difference(a: ArrayLike, b: ArrayLike, resamples: int = 2000, seed: int = 0) -> Interval:
    """`bootstrap` of the differences a - b of the same images, which removes what they share.

    Equal values differ by 0, infinite ones too.
    """
    return bootstrap(difference(*stack_columns([a, b]).T), resamples, seed)


def mean_difference(a: ArrayLike, b: ArrayLike) -> MaybeInterval:
    """`paired_difference`; without an interval for fewer than 2 images."""
    ends = paired_difference(a, b)
    return ends if len(np.asarray(a)) >= 2 else (ends[0], None, None)


def pooled_psnr(errors: ArrayLike, resamples: int = 2000, seed: int = 0) -> MaybeInterval:
    """PSNR of the mean of the images' squared errors (N,), in decibels; their range is 1.

    Where so few images differ that resamples without them count, there is no interval: both ends
    are None.
    """
    mean, high, low = psnr(np.array(bootstrap(errors, resamples, seed))).tolist()
    return (mean, low, high) if np.isfinite(high) else (mean, None, None)


def paired_pooled_psnr(
    a: ArrayLike, b: ArrayLike, resamples: int = 2000, seed: int = 0
) -> MaybeInterval:
    """Difference of the pooled PSNRs of squared errors a, b (N,) of the same images, in decibels.

    A ratio of two means, of which each resample takes the same images. No interval as above.
    """
    values = round_to_grid(stack_columns([a, b]))
    draws = difference(*psnr(resampled_means(values, resamples, seed)).T)
    figure = float(difference(*psnr(values.mean(0))))
    known = np.isfinite(draws).all() or not np.isfinite(figure)
    return interval(figure, draws) if known else (figure, None, None)


def stack_columns(columns: Iterable[ArrayLike]) -> np.ndarray:
    """(N, columns) in float64."""
    columns = [np.asarray(column, dtype=np.float64) for column in columns]
    for column in columns:
        if column.ndim != 1 or len(column) == 0:
            raise ValueError(f"values must be a list of at least one number, not {column.shape}")
        if column.shape != columns[0].shape:
            raise ValueError(f"values of unequal shapes {columns[0].shape} and {column.shape}")
    return np.stack(columns, 1)


def round_to_grid(values: np.ndarray) -> np.ndarray:
    """Values (N, columns) rounded to a grid on which no sum of N of them is rounded.

    About 1e-16 N of the largest. So neither the order of images nor the threads of a matrix product
    change a bit.
    """
    largest = np.where(np.isfinite(values), np.abs(values), 0).max(0)
    grid = np.exp2(np.frexp(len(values) * largest)[1] - 52)
    return np.round(values / grid) * grid


def resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """(resamples, columns): how often each image was drawn, times the values (N, columns)."""
    random, count = np.random.default_rng(seed), len(values)
    rows = max(1, CHUNK // count)
    known = np.isfinite(values)
    finite = np.where(known, values, 0.0)
    means = []
    for start in range(0, resamples, rows):
        draws = (random.integers(count, size=count) for _ in range(min(rows, resamples - start)))
        counts = [np.bincount(draw, minlength=count) for draw in draws]
        counts = np.stack(counts, dtype=np.float64)
        mean = counts @ finite / count
        means.append(mean if known.all() else mean + drawn(counts, values))
    return np.concatenate(means)


def drawn(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(resamples, columns): infinity or NaN, where a resample has drawn one of the values; or 0.

    In the matrix product 0 times infinity, an image that was not drawn, would be NaN.
    """
    kinds = {np.inf: values == np.inf, -np.inf: values == -np.inf, np.nan: np.isnan(values)}
    with np.errstate(invalid="ignore"):  # both infinities make NaN
        return sum(np.where(counts @ where > 0, kind, 0.0) for kind, where in kinds.items())


def interval(figure: float, draws: np.ndarray) -> Interval:
    """The figure and the 95 % percentile interval of its draws.

    Between infinity and a number there is nothing to interpolate: there the ends are draws.
    """
    if np.isnan(draws).any() or np.isnan(figure):
        return (np.nan,) * 3
    method = "linear" if np.isfinite(draws).all() else "inverted_cdf"
    low, high = np.percentile(draws, [2.5, 97.5], method=method).tolist()
    return float(figure), low, high


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a - b, and 0 where both are infinite."""
    return np.subtract(a, b, out=np.zeros_like(a), where=a != b)


def psnr(errors: np.ndarray) -> np.ndarray:
    """PSNR in dB of mean squared errors of images in [0, 1]; infinity for 0."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(errors)
