"""The Fréchet distance between the features of two sets of images.

Features of a set are summed up by their moments, so memory is constant and parts may be computed
anywhere and merged.
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

import torch
from scipy.linalg import lapack
from torch import Tensor, nn

from msdd.errors import MsddError

KEPT = 8  # results of the last factors and roots: protocols that share a set share them
ROWS = 256  # of the outer products at once: the sums stay in the cache of a CPU


class Gaussian(Protocol):
    """What a distance is taken of: mean (D,) and covariance (D, D) in float64."""

    @property
    def mean(self) -> Tensor: ...
    @property
    def covariance(self) -> Tensor: ...


class Moments(nn.Module):
    """Running count n, sum (D,) and sum of outer products (D, D) of features, in float64.

    However the blocks of features are dealt to processes, and in whatever order they are added and
    merged, the moments have the same bits; a block is what one `update` takes. Its `state_dict`
    carries them to another process or into a file.
    """

    @torch.inference_mode(False)  # what is made in that mode could only be changed in it
    def __init__(self, dimensions: int, device: str | torch.device = "cpu") -> None:
        super().__init__()
        float64 = {"dtype": torch.float64, "device": device}
        self.register_buffer("n", torch.zeros((), dtype=torch.int64, device=device))
        for name in ("sum", "sum_error"):
            self.register_buffer(name, torch.zeros(dimensions, **float64))
        for name in ("outer", "outer_error"):
            self.register_buffer(name, torch.zeros(dimensions, dimensions, **float64))

    def update(self, features: Tensor) -> None:
        """Add a block of features (B, D)."""
        features = features.detach().to(self.sum)
        self.n += len(features)
        add(self.sum, self.sum_error, features.sum(0))
        for start in range(0, features.shape[1], ROWS):
            rows = slice(start, start + ROWS)
            add(self.outer[rows], self.outer_error[rows], features[:, rows].T @ features)

    def merge(self, other: "Moments") -> None:
        """Add the features of another part of the same set."""
        self.n += other.n.to(self.n)
        add(self.sum, self.sum_error, other.sum.to(self.sum))
        add(self.outer, self.outer_error, other.outer.to(self.outer))
        self.sum_error += other.sum_error.to(self.sum)
        self.outer_error += other.outer_error.to(self.outer)

    @property
    def count(self) -> int:
        return self.n.item()

    @property
    def mean(self) -> Tensor:
        return (self.sum + self.sum_error) / self.count

    @property
    def covariance(self) -> Tensor:
        """Sample covariance (D, D), divided by n - 1. MsddError for fewer than 2 images."""
        if self.count < 2:
            raise MsddError(f"a Fréchet distance needs at least 2 images, not {self.count}")
        centre = self.count * torch.outer(self.mean, self.mean)
        return (self.outer + self.outer_error - centre) / (self.count - 1)


def add(total: Tensor, error: Tensor, term: Tensor) -> None:
    """total += term and error += what that rounded off, in place (Knuth's two-sum, TAOCP 4.2.2).

    total + error then has about twice the precision, in which the order of terms does not show.
    """
    new = total + term
    added = new - total
    error += (total - (new - added)) + (term - added)
    total.copy_(new)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of covariances A, B (Dowson, Landau 1982).

    Never negative. MsddError for fewer than 2 images, for features that are not finite or of other
    dimensions. With A = L L^T and B = M M^T, the trace of the root is the sum of the singular
    values of L^T M: no root of a product of matrices, which is unstable when there are fewer images
    than dimensions. Then A has rank n - 1 and the distance is the one inside the span of the
    images: exact, but far above that of larger sets (Chong, Forsyth 2020).
    """
    if a.mean.shape != b.mean.shape:
        sizes = f"{len(a.mean)} and {len(b.mean)}"
        raise MsddError(f"a Fréchet distance between features of {sizes} dimensions")
    means, covariances = (a.mean, b.mean), (a.covariance, b.covariance)
    check_finite(*means, *covariances)
    return max(0.0, ((means[0] - means[1]).square().sum() + spread(*covariances)).item())


def check_finite(*moments: Tensor) -> None:
    if not all(moment.isfinite().all() for moment in moments):
        raise MsddError("the features of a Fréchet distance contain NaN or infinity")


def spread(A: Tensor, B: Tensor) -> Tensor:
    """tr(A + B - 2 (A B)^(1/2)) of covariances; computed once for the same two."""
    keys = digest(A), digest(B)

    def compute() -> Tensor:
        L, M = (once((key,), lambda c=c: factor(c)) for key, c in zip(keys, (A, B), strict=True))
        return L.square().sum() + M.square().sum() - 2 * torch.linalg.svdvals(L.T @ M).sum()

    return once(keys, compute)


def factor(covariance: Tensor) -> Tensor:
    """L (D, rank) with L L^T = covariance: Cholesky's with pivots, by LAPACK's `pstrf`.

    It ends where nothing but rounding is left on the diagonal, so n images take n - 1 columns.
    """
    by_columns = covariance.cpu().numpy().T  # symmetric, and LAPACK's order: nothing is turned
    factored, pivots, rank, _ = lapack.dpstrf(by_columns, lower=1)
    L = torch.zeros(len(covariance), rank, dtype=torch.float64)
    L[torch.from_numpy(pivots).long() - 1] = torch.from_numpy(factored)[:, :rank].tril()
    return L.to(covariance.device)


def digest(matrix: Tensor) -> bytes:
    """SHA-256 of a matrix: takes milliseconds for 2048 x 2048, where factors and roots take up to
    seconds."""
    return hashlib.sha256(matrix.detach().cpu().contiguous().numpy()).digest()


def once(key: tuple[bytes, ...], compute: Callable[[], Tensor]) -> Tensor:
    """A result of this process that is still kept; else it is computed, and the oldest goes."""
    if key not in kept:
        result = compute()
        if len(kept) == KEPT:
            del kept[next(iter(kept))]
        kept[key] = result
    return kept[key]


kept: dict[tuple[bytes, ...], Tensor] = {}
