"""How far a mean over images can be trusted: bootstrap intervals, seeded."""

import numpy as np
from numpy.typing import ArrayLike

CHUNK = 4_000_000  # draws at once, which bounds memory


def bootstrap(
    values: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of the values (N,) and the ends of its 95 % percentile interval (Efron 1979).

    Images are redrawn with replacement. ValueError without values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"values must be a list of at least one number, not {values.shape}")
    low, high = np.percentile(resampled_means(values, resamples, seed), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows = max(1, CHUNK // len(values))
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    draws = (random.integers(len(values), size=(size, len(values))) for size in sizes)
    return np.concatenate([values[draw].mean(1) for draw in draws])


def paired(
    a: ArrayLike, b: ArrayLike, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """`bootstrap` of the differences a - b of the same images, which removes what they share."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values of unequal shapes {a.shape} and {b.shape}")
    return bootstrap(a - b, resamples, seed)
