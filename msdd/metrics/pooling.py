"""PSNR pooled over groups of images: their errors are averaged before the logarithm.

Errors are mean squared errors (N,) of images in [0, 1], PSNR is in dB. `pool` is the number of
consecutive images in a group, or `all`: then images weigh by their pixels (N,).
`groups` are of `intervals`; where images are pooled by number, those pools are redrawn instead.
"""

from collections.abc import Sequence

import numpy as np

from msdd.metrics.intervals import (
    MaybeInterval,
    bootstrap,
    difference,
    paired_pooled_psnr,
    pixel_weights,
    pooled_psnr,
    psnr,
)

Pool = int | str
LEAST = 10  # groups; of fewer a bootstrap's intervals miss a difference of 0 too often


def pool_psnr(
    pool: Pool, errors: np.ndarray, pixels: np.ndarray, groups: Sequence[int] | None = None
) -> MaybeInterval:
    """PSNR and the ends of its 95 % interval: over images, or over groups if there are LEAST."""
    if pool == "all":
        return pooled_psnr(errors, pixels, groups)
    return mean_of_groups(group_psnr(errors, pool), pool)


def mean_psnr(pool: Pool, errors: np.ndarray, pixels: np.ndarray) -> float:
    """The PSNR of `pool_psnr` without its interval, which costs a bootstrap."""
    if pool == "all":
        return float(psnr((errors * pixel_weights(pixels)).mean()))
    return float(group_psnr(errors, pool).mean())


def pooled_psnr_difference(
    pool: Pool,
    a: np.ndarray,
    b: np.ndarray,
    pixels: np.ndarray,
    groups: Sequence[int] | None = None,
) -> MaybeInterval:
    """Difference of the PSNRs that `pool_psnr` makes of errors `a` and `b` of the same images."""
    if pool == "all":
        return paired_pooled_psnr(a, b, pixels, groups)
    return mean_of_groups(difference(group_psnr(a, pool), group_psnr(b, pool)), pool)


def mean_of_groups(values: np.ndarray, pool: int) -> MaybeInterval:
    mean, *ends = bootstrap(values)
    return (mean, *ends) if pool == 1 or len(values) >= LEAST else (mean, None, None)


def group_psnr(errors: np.ndarray, size: int) -> np.ndarray:
    """One value for each group of `size` images; their mean is the mean over images of the PSNR of
    an image's group.

    The last group may be short. Its PSNR then counts less: by as much it is moved to the mean.
    """
    starts = np.arange(0, len(errors), size)
    counts = np.diff([*starts, len(errors)])
    values = psnr(np.add.reduceat(errors, starts) / counts)
    if not np.isfinite(values).all():
        return values
    mean = np.average(values, weights=counts)
    return mean + (values - mean) * (counts / counts.mean())
