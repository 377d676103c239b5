"""Seeded bootstrap confidence intervals of means, pooled PSNRs and paired differences.

`groups` says of which photograph each image is, (N,): photographs are then redrawn, each with all
its images, because crops of one photograph resemble each other (a cluster bootstrap, Davison and
Hinkley 1997, section 3.8). None: every image stands for itself; `groups_of` decides.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

# Photographs of which fewer are not redrawn. Where crops of one resemble each other, intervals over
# 5 photographs held the mean of all in 84 % of 300 trials, over 10 in 93 %; over crops in a third.
FEW = 5
CHUNK = 500_000  # counts at once, which bounds memory
RESAMPLES, SEED = 2000, 0
Interval = tuple[float, float, float]  # the figure and both ends
MaybeInterval = Interval | tuple[float, None, None]


def groups_of(photographs: Sequence[int] | None) -> Sequence[int] | None:
    """The `groups` of images whose photographs are known; None for fewer than `FEW`."""
    return photographs if photographs and len(set(photographs)) >= FEW else None


def bootstrap(values: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """Mean of the values (N,) and the ends of its 95 % percentile interval (Efron 1979).

    Images are redrawn with replacement. Infinite values count: a resample that has drawn one is
    infinite. Where values of both signs are, or NaN, the mean is NaN, and so are the ends.
    ValueError without values.
    """
    return bootstraps({"": values}, groups)[""]


def bootstraps(
    columns: Mapping[str, ArrayLike], groups: ArrayLike | None = None
) -> dict[str, Interval]:
    """`bootstrap` of many values of the same images, from the same draws: much faster."""
    values = round_to_grid(stack_columns(columns.values()), groups)
    with np.errstate(invalid="ignore"):
        means, draws = values.mean(0), resampled_means(values, groups)
    rows = zip(columns, means, draws.T, strict=True)
    return {name: interval(mean, column) for name, mean, column in rows}


def paired_difference(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None) -> Interval:
    """`bootstrap` of the differences a - b of the same images, which removes what they share.

    Equal values differ by 0, infinite ones too.
    """
    return bootstrap(difference(*stack_columns([a, b]).T), groups)


def mean_difference(a: ArrayLike, b: ArrayLike, groups: ArrayLike | None = None) -> MaybeInterval:
    """`paired_difference`; without an interval for fewer than 2 images."""
    ends = paired_difference(a, b, groups)
    return ends if len(np.asarray(a)) >= 2 else (ends[0], None, None)


def pooled_psnr(
    errors: ArrayLike, pixels: ArrayLike, groups: ArrayLike | None = None
) -> MaybeInterval:
    """PSNR of the mean of squared errors (N,) over all pixels (N,) of images in [0, 1], in dB.

    A ratio of two sums, of which each resample takes the same images (Davison and Hinkley 1997,
    section 2.4). Where so few images differ that resamples without them count, there is no
    interval: both ends are None.
    """
    weights = pixel_weights(pixels)
    values = round_to_grid(stack_columns([np.asarray(errors) * weights, weights]), groups)
    draws = np.divide(*resampled_means(values, groups).T)
    mean, high, low = psnr(np.array(interval(np.divide(*values.mean(0)), draws))).tolist()
    return (mean, low, high) if np.isfinite(high) else (mean, None, None)


def paired_pooled_psnr(
    a: ArrayLike, b: ArrayLike, pixels: ArrayLike, groups: ArrayLike | None = None
) -> MaybeInterval:
    """Difference of the pooled PSNRs of squared errors a, b (N,) of the same images, in decibels.

    Their pixels are the same, so it is a ratio of two means. No interval as above.
    """
    weights = pixel_weights(pixels)
    values = round_to_grid(stack_columns([a, b]) * weights[:, None], groups)
    draws = difference(*psnr(resampled_means(values, groups)).T)
    figure = float(difference(*psnr(values.mean(0))))
    known = np.isfinite(draws).all() or not np.isfinite(figure)
    return interval(figure, draws) if known else (figure, None, None)


def pixel_weights(pixels: ArrayLike) -> np.ndarray:
    """Weights (N,) of images by their pixels, 1 on the average."""
    pixels = np.asarray(pixels, dtype=np.float64)
    return pixels / pixels.mean()


def stack_columns(columns: Iterable[ArrayLike]) -> np.ndarray:
    """(N, columns) in float64."""
    columns = [np.asarray(column, dtype=np.float64) for column in columns]
    for column in columns:
        if column.ndim != 1 or len(column) == 0:
            raise ValueError(f"values must be a list of at least one number, not {column.shape}")
        if column.shape != columns[0].shape:
            raise ValueError(f"values of unequal shapes {columns[0].shape} and {column.shape}")
    return np.stack(columns, 1)


def round_to_grid(values: np.ndarray, groups: ArrayLike | None = None) -> np.ndarray:
    """Values (N, columns) rounded to a grid on which no sum of a resample is rounded.

    About 1e-16 N of the largest. So neither the order of images nor the threads of a matrix product
    change a bit.
    """
    largest = np.where(np.isfinite(values), np.abs(values), 0).max(0)
    sizes = group_sizes(values, groups)[0]
    grid = np.exp2(np.frexp(len(sizes) * sizes.max() * largest)[1] - 52)
    return np.round(values / grid) * grid


def group_sizes(values: np.ndarray, groups: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """How many images each group has (G,), and the group of each image (N,)."""
    if groups is None:
        return np.ones(len(values)), np.arange(len(values))
    if np.shape(groups) != (len(values),):
        raise ValueError(f"groups of {np.shape(groups)} images, and {len(values)} values")
    _, places, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return sizes.astype(np.float64), places


def group_sums(values: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """(count, columns): the sums of the values (N, columns) of each group."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, places, values)
    return sums


def resampled_means(values: np.ndarray, groups: ArrayLike | None) -> np.ndarray:
    """(RESAMPLES, columns): how often each group was drawn, times the sums of its values, divided
    by the number of images drawn."""
    sizes, places = group_sizes(values, groups)
    random, count = np.random.default_rng(SEED), len(sizes)
    rows = max(1, CHUNK // count)
    known = np.isfinite(values)
    finite = group_sums(np.where(known, values, 0.0), places, count)
    kinds = {np.inf: values == np.inf, -np.inf: values == -np.inf, np.nan: np.isnan(values)}
    others = {kind: group_sums(where, places, count) for kind, where in kinds.items()}
    means = []
    for start in range(0, RESAMPLES, rows):
        counts = draw_counts(random, min(rows, RESAMPLES - start), count)
        mean = counts @ finite / (counts @ sizes)[:, None]
        means.append(mean if known.all() else mean + infinities_drawn(counts, others))
    return np.concatenate(means)


def draw_counts(random: np.random.Generator, resamples: int, count: int) -> np.ndarray:
    """(resamples, count) in float64: how often each group is drawn by as many draws as groups."""
    draws = random.integers(count, size=(resamples, count))
    draws += np.arange(resamples)[:, None] * count
    counts = np.bincount(draws.ravel(), minlength=resamples * count)
    return counts.reshape(resamples, count).astype(np.float64)


def infinities_drawn(counts: np.ndarray, others: Mapping[float, np.ndarray]) -> np.ndarray:
    """(resamples, columns): infinity or NaN, where a resample has drawn one of the values; or 0.

    others: how many of each of these values a group has (G, columns). In the matrix product 0 times
    infinity, an image that was not drawn, would be NaN.
    """
    with np.errstate(invalid="ignore"):  # both infinities make NaN
        return sum(np.where(counts @ many > 0, kind, 0.0) for kind, many in others.items())


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
