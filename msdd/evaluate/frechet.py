"""The Fréchet distance between the features of two sets of images.

Features of a set are summed up by their moments, so memory is constant and parts may be computed
anywhere and merged.
"""

import torch
from torch import Tensor

from msdd.errors import MsddError


class Moments:
    """Running count n, sum (D,) and sum of outer products (D, D) of features, in float64."""

    def __init__(self, dimensions: int, device: str | torch.device = "cpu") -> None:
        self.count = 0
        self.sum = torch.zeros(dimensions, dtype=torch.float64, device=device)
        self.outer = torch.zeros(dimensions, dimensions, dtype=torch.float64, device=device)

    def update(self, features: Tensor) -> None:
        """Add features (B, D)."""
        features = features.detach().to(self.sum)
        self.count += len(features)
        self.sum += features.sum(0)
        self.outer += features.T @ features

    def merge(self, other: "Moments") -> None:
        """Add the features of another part of the same set."""
        self.count += other.count
        self.sum += other.sum.to(self.sum)
        self.outer += other.outer.to(self.outer)

    @property
    def mean(self) -> Tensor:
        return self.sum / self.count

    @property
    def covariance(self) -> Tensor:
        """Sample covariance (D, D), divided by n - 1. MsddError for fewer than 2 images."""
        if self.count < 2:
            raise MsddError(f"a Fréchet distance needs at least 2 images, not {self.count}")
        return (self.outer - self.count * torch.outer(self.mean, self.mean)) / (self.count - 1)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of covariances A, B (Dowson, Landau 1982).

    Never negative. MsddError for fewer than 2 images or features that are not finite.
    With A = L L^T and B = M M^T, the trace of the root is the sum of the singular values of L^T M:
    no root of a product of matrices, which is unstable when there are fewer images than dimensions.
    """
    L, M = factor(a.covariance), factor(b.covariance)
    means = (a.mean - b.mean).square().sum()
    spread = L.square().sum() + M.square().sum() - 2 * torch.linalg.svdvals(L.T @ M).sum()
    return max(0.0, (means + spread).item())


def factor(covariance: Tensor) -> Tensor:
    """L (D, rank) with L L^T = covariance, without the eigenvalues that rounding made of 0."""
    if not covariance.isfinite().all():
        raise MsddError("the features of a Fréchet distance contain NaN or infinity")
    values, vectors = torch.linalg.eigh(covariance)
    kept = values > len(values) * torch.finfo(values.dtype).eps * values[-1].abs()
    return vectors[:, kept] * values[kept].sqrt()
