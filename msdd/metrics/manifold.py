"""Precision and recall, density and coverage: whether features of one set lie among another's.

The manifold of a set is the union of balls around its features, each as far as the k-th nearest
other one of the set (Kynkäänniemi et al. 2019; Naeem et al. 2020). Distances are taken in blocks,
so memory is that of the features and of one block.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from msdd.errors import MsddError

ROWS, COLUMNS = 256, 10_000  # of a block of distances
TIE = 1e-9  # of a squared radius: what lies so near a surface lies on it, whatever was rounded
SAME = 1e-12  # of the squared norms: what two features of the same numbers differ by at most

Distances = Callable[[Tensor, Tensor], Tensor]


def squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances (n, m) of features (n, D), (m, D) in float64; 0 where they are the same."""
    a, b = a.double(), b.double()
    norms = a.square().sum(1)[:, None] + b.square().sum(1)
    distances = norms - 2 * (a @ b.T)
    return distances.where(distances > SAME * norms, 0)


def squared_half(a: Tensor, b: Tensor) -> Tensor:
    """The same in float16, by the formula of guided-diffusion's evaluator, as float32.

    In float32 where a distance of the block overflows. That program takes blocks of 10,000 x
    10,000, and its hardware decides how sums of float16 are rounded: here each sum is rounded once.
    """
    distances = expanded(a.half(), b.half())
    return distances.float() if distances.isfinite().all() else expanded(a, b)


def expanded(a: Tensor, b: Tensor) -> Tensor:
    """|a|^2 - 2 a b + |b|^2, not below 0; sums in float32, each rounded to the type of a and b."""
    kind, (x, y) = a.dtype, (a.float(), b.float())
    squares = [v.square().to(kind).float().sum(1).to(kind) for v in (x, y)]
    products = (x @ y.T).to(kind)
    return (squares[0][:, None] - 2 * products + squares[1]).clamp(min=0)


DISTANCES: dict[str, Distances] = {"float64": squared, "float16": squared_half}


def radii(features: Tensor, k: int, distances: Distances = squared) -> Tensor:
    """Squared distances (n,) of features (n, D) to the k-th nearest other one.

    MsddError for fewer than k + 1 features, and for some that are not finite.
    """
    if len(features) <= k:
        raise MsddError(f"{k} neighbours need at least {k + 1} images, not {len(features)}")
    if not features.isfinite().all():
        raise MsddError("the features of a manifold contain NaN or infinity")
    nearest = [row.kthvalue(k + 1, 1).values for row in rows(features, features, distances)]
    return torch.cat(nearest)


def rows(a: Tensor, b: Tensor, distances: Distances) -> Iterator[Tensor]:
    """Distances of ROWS features of a at a time to all of b."""
    for part in a.split(ROWS):
        yield torch.cat([distances(part, other) for other in b.split(COLUMNS)], 1)


def within(features: Tensor, manifold: Tensor, radius: Tensor, distances: Distances) -> Tensor:
    """Whether each of the features (n, D) lies in a ball of the manifold (m, D): (n,)."""
    closed = radius * (1 + TIE)
    return torch.cat([(d <= closed).any(1) for d in rows(features, manifold, distances)])


def precision_recall(
    made: Tensor, real: Tensor, k: int = 3, distances: Distances = squared
) -> tuple[Tensor, Tensor]:
    """Whether each sample lies in the manifold of the real images, and whether each real image lies
    in that of the samples. Their means are precision and recall."""
    among_real = within(made, real, radii(real, k, distances), distances)
    among_made = within(real, made, radii(made, k, distances), distances)
    return among_real, among_made


def density_coverage(made: Tensor, real: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """The number of real balls around each sample, divided by k, and whether a sample lies in the
    ball of each real image. Their means are density and coverage.

    A ball is open, as in the authors' program (prdc 0.2): where k + 1 real images are the same, its
    radius is 0 and nothing lies in it.
    """
    radius = radii(real, k)
    covered, counts = torch.zeros_like(radius, dtype=torch.bool), []
    for distances in rows(made, real, squared):
        inside = distances < radius * (1 - TIE)
        counts.append(inside.sum(1))
        covered |= inside.any(0)
    return torch.cat(counts).double() / k, covered
