"""The Monge distance of features (MIND; Berthet et al. 2026, arXiv 2605.06797)."""

import torch
from torch import Tensor

from msdd.errors import MsddError

DIRECTIONS, SEED = 1000, 2020
AT_ONCE = 250  # directions, which bounds memory


def mind(x: Tensor, y: Tensor) -> float:
    """3 D times the squared sliced 2-Wasserstein distance of features x, y (n, D).

    Along random unit directions the sorted projections of both sets are subtracted, squared and
    averaged; the factor makes a shift of all features by a vector v cost 3 |v|^2. Directions are
    those of torch-fidelity (commit a51aa64) by its default seed, so equal sets of features get its
    number. Of sets of unequal length the longer one is drawn from, without replacement, as there.

    MsddError for no rows, or for features that are not finite.
    """
    n = min(len(x), len(y))
    if not n:
        raise MsddError("MIND needs at least one image on both sides")
    generator = torch.Generator().manual_seed(SEED)
    x, y = (draw_rows(side, n, generator).float() for side in (x, y))
    if not (x.isfinite().all() and y.isfinite().all()):
        raise MsddError("the features of MIND contain NaN or infinity")
    parts = unit_vectors(DIRECTIONS, x.shape[1], generator).split(AT_ONCE)
    total = sum(squares(x, y, part) for part in parts)
    return 3 * x.shape[1] * total / (n * DIRECTIONS)


def draw_rows(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """So many of some rows; nothing is drawn where there are no more."""
    if len(rows) == count:
        return rows
    return rows[torch.randperm(len(rows), generator=generator)[:count]]


def squares(x: Tensor, y: Tensor, directions: Tensor) -> float:
    """The sum over directions (M, D) and ranks of squared differences of sorted projections."""
    sides = ((side @ directions.T).sort(0).values for side in (x, y))
    return torch.sub(*sides).double().square().sum().item()


def unit_vectors(count: int, dimensions: int, generator: torch.Generator) -> Tensor:
    """Uniform on the sphere, (count, dimensions)."""
    vectors = torch.randn(count, dimensions, dtype=torch.float32, generator=generator)
    return vectors / vectors.norm(dim=1, keepdim=True)
