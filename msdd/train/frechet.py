"""A Fréchet distance of features as a loss, without a teacher and without a discriminator.

As in FD-loss (arXiv 2604.28190) the distance is one of populations: of the moments of many images,
to which those of a step add a little. The gradient of the distance with respect to the feature f of
one of N made images is 2 (f - T(f)) / N, where T(f) = mean_real + M (f - mean_made) is the optimal
transport of one Gaussian to the other and M = A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2) for the
covariances A of made and B of real images (Dowson and Landau 1982). So the loss draws every feature
to where the transport puts it; its mean over the images of the moments is the distance itself.

Both covariances get a small multiple of the identity, as if both features had a little noise.
Without it a direction in which made images do not vary would have no transport.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from msdd.params.sections import Frechet
from msdd.train.team import ALONE, Team
from msdd.train.weight import COLLECTED
from msdd.weights.pretrained_networks import feature_network

REFRESHES = 4  # of the transport in a half-life: it is an eigenproblem of the features
NOISE = 1e-3  # variance of the noise, over the mean variance of the real features
TINY = 1e-12  # keeps constant features from a division by 0


class FrechetLoss:
    """The distances of a student's images from the real ones in one or more representations.

    Moments of both are averages over all images so far, weighted by 2^(-age / half_life), where
    the age is the number of images since. Real and made images are the same photographs, so that
    the luck of the draw is in both. The first two half-lives only collect.

    settings: networks and half-life, in images.
    """

    def __init__(self, settings: Frechet, device: str | torch.device = "cpu") -> None:
        self.spaces = {
            name: Space(feature_network(name, device), settings.half_life, device)
            for name in settings.networks
        }

    def judge(self, images: Tensor, real: Tensor) -> dict[str, Tensor]:
        """`frechet`, the mean over representations of the distance relative to its last value; and
        each distance by name, without gradient. {} while moments are collected.

        images: the student's (B, 3, H, W) in [-1, 1]; real: the same photographs. The features are
        kept for `step`.
        """
        terms, ratios = {}, []
        for name, space in self.spaces.items():
            distance = space.distance(images, real)
            if distance is not None:
                terms[f"fd_{name.replace('-', '_')}"] = distance.detach()
                ratios.append(distance / space.transport.distance)
        return terms | ({"frechet": sum(ratios) / len(ratios)} if ratios else {})

    def step(self, team: Team = ALONE) -> None:
        """Add what was judged since the last step, by all processes, to the moments."""
        for space in self.spaces.values():
            space.step(team)

    def state_dict(self) -> dict[str, dict]:
        return {name: space.state_dict() for name, space in self.spaces.items()}

    def load_state_dict(self, state: dict[str, dict]) -> None:
        for name, space in self.spaces.items():
            space.load_state_dict(state[name])


class Transport(NamedTuple):
    """T(f) = target + matrix (f - source) for features f (B, D), and the distance it covers."""

    source: Tensor
    target: Tensor
    matrix: Tensor
    distance: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return self.target + (features - self.source) @ self.matrix


class Space:
    """One representation: its network, the moments of both populations, and the transport."""

    def __init__(
        self, network: nn.Module, half_life: int, device: str | torch.device = "cpu"
    ) -> None:
        self.network, self.half_life, self.device = network, half_life, device
        self.made: Tensor | None = None
        self.real: Tensor | None = None
        self.seen = self.fresh = 0
        self.transport: Transport | None = None
        self.kept: list[tuple[Tensor, Tensor]] = []

    def distance(self, images: Tensor, real: Tensor) -> Tensor | None:
        """The mean squared way of the images' features to their transport; None without one."""
        with torch.autocast(images.device.type, enabled=False):
            made = self.network(images.float())
            with torch.no_grad():
                of_real = self.network(real.float())
        self.kept.append((made.detach(), of_real))
        if self.transport is None:
            return None
        return (made - self.transport(made.detach())).square().sum(1).mean()

    def step(self, team: Team) -> None:
        """Add the kept features, and solve for the transport where that is due."""
        made, real = (torch.cat(features) for features in zip(*self.kept, strict=True))
        self.kept.clear()
        sums = [sums_of(made), sums_of(real)]
        team.add_up(sums)
        count = len(made) * team.size
        decay = 0.5 ** (count / self.half_life)
        self.made, self.real = (
            new if old is None else decay * old + new
            for old, new in zip((self.made, self.real), sums, strict=True)
        )
        self.seen, self.fresh = self.seen + count, self.fresh + count
        if self.seen >= COLLECTED * self.half_life and self.fresh >= self.half_life // REFRESHES:
            self.transport, self.fresh = transport(moments(self.made), moments(self.real)), 0

    def state_dict(self) -> dict:
        return {
            "made": self.made,
            "real": self.real,
            "seen": self.seen,
            "fresh": self.fresh,
            "transport": None if self.transport is None else tuple(self.transport),
        }

    def load_state_dict(self, state: dict) -> None:
        """From any device to that of the network."""
        sums = (state["made"], state["real"])
        self.made, self.real = (None if s is None else s.to(self.device) for s in sums)
        self.seen, self.fresh = state["seen"], state["fresh"]
        known = state["transport"]
        self.transport = None if known is None else Transport(*(x.to(self.device) for x in known))


def sums_of(features: Tensor) -> Tensor:
    """Summed outer products (D + 1, D + 1) of features (B, D) with a column of ones appended."""
    with_one = torch.cat([features, torch.ones_like(features[:, :1])], 1).double()
    return with_one.T @ with_one


def moments(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of features with these (weighted) sums."""
    total = sums[-1, -1]
    mean = sums[-1, :-1] / total
    return mean, sums[:-1, :-1] / total - torch.outer(mean, mean)


def transport(made: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor]) -> Transport:
    """The optimal transport between Gaussians of these means and covariances, in float64.

    Both get noise of `NOISE` of the mean variance of the real features. The result is in float32;
    its distance, by which losses are divided, is never less than `NOISE` of the variances' sum.
    """
    (source, A), (target, B) = made, real
    noise = NOISE * B.diagonal().mean() + TINY
    values, vectors = torch.linalg.eigh(A)
    root = (values.clamp(min=0) + noise).sqrt()
    inner = vectors.T @ B @ vectors + noise * torch.eye(len(B), dtype=B.dtype, device=B.device)
    middle, rotation = torch.linalg.eigh(root[:, None] * inner * root)
    middle = middle.clamp(min=0).sqrt()
    half = (vectors / root) @ rotation
    variances = root.square().sum() + inner.trace()
    distance = (source - target).square().sum() + variances - 2 * middle.sum()
    parts = (source, target, (half * middle) @ half.T, distance.clamp(min=NOISE * variances))
    return Transport(*(part.float() for part in parts))
