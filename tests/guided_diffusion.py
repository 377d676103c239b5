"""Precision and recall of guided-diffusion's evaluator (evaluations/evaluator.py at 22e0df8), pair
by pair."""

import numpy as np


def distance(a: np.ndarray, b: np.ndarray) -> np.float16:
    """Squared, of two rows in float16: sums in float32, each rounded once."""
    norms = [np.float16((v * v).astype(np.float32).sum()) for v in (a, b)]
    product = np.float16(a.astype(np.float32) @ b.astype(np.float32))
    return np.maximum(norms[0] - np.float16(2) * product + norms[1], np.float16(0))


def precision_recall(made: np.ndarray, real: np.ndarray, k: int = 3) -> tuple[float, float]:
    """Of features (n, D). A radius is the entry k of a sorted row, which holds the image itself;
    inside is what lies no further."""
    made, real = (side.astype(np.float16) for side in (made, real))
    return share_inside(made, real, k), share_inside(real, made, k)


def share_inside(rows: np.ndarray, manifold: np.ndarray, k: int) -> float:
    radii = [sorted(distance(a, b) for b in manifold)[k] for a in manifold]
    balls = list(zip(manifold, radii, strict=True))
    inside = [any(distance(row, a) <= radius for a, radius in balls) for row in rows]
    return sum(inside) / len(inside)
