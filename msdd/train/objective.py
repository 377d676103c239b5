"""The losses that all students share: squared errors, LPIPS, Fréchet distance, the adversary."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msdd.params.sections import Distil
from msdd.seeds import seed_of
from msdd.train.adversary import Adversary, adaptive_weight
from msdd.train.discriminator import discriminator
from msdd.train.frechet import FrechetLoss
from msdd.train.weight import weight_at
from msdd.weights.features import lpips_distance
from msdd.weights.pretrained_networks import lpips_network


class Objective:
    """The weighted sum of a student's terms at one scale; a term of weight 0 is never computed.

    settings: of the distillation; they hold the weights.
    sides:    of the images at every scale, in pixels, coarsest first.
    scale:    the index of the scale whose images these see.
    layer:    weight of the student's last layer, at which the adversary's gradient is balanced.
    seed:     of the discriminator's weights.
    """

    def __init__(
        self, settings: Distil, sides: Sequence[int], scale: int, layer: Tensor, seed: int
    ) -> None:
        self.settings, self.layer = settings, layer
        self.lpips_weight = weight_at(settings.lpips, sides, scale)
        self.gan_weight = weight_at(settings.gan, sides, scale)
        device = layer.device
        self.lpips = lpips_network(settings.lpips_net, device) if self.lpips_weight else None
        self.adversary = self._adversary(seed, device) if self.gan_weight else None
        wanted = settings.frechet
        self.frechet_weight = weight_at(wanted.weight, sides, scale) if wanted else 0.0
        self.frechet = FrechetLoss(wanted, device) if self.frechet_weight else None

    def _adversary(self, seed: int, device: torch.device) -> Adversary:
        torch.manual_seed(seed_of("discriminator", seed))
        network: nn.Module = discriminator(self.settings.discriminator, device)
        rate = self.settings.discriminator_learning_rate
        return Adversary(network, rate, self.settings.betas)

    @property
    def needs_teacher(self) -> bool:
        """Whether a term compares with the teacher's images, so that they have to be made."""
        to_teacher = self.lpips_weight and self.settings.lpips_to == "teacher"
        return bool(self.settings.mse_teacher or to_teacher)

    def __call__(
        self, errors: dict[str, Tensor], images: Tensor, real: Tensor, made: Tensor | None = None
    ) -> dict[str, Tensor]:
        """All terms and `loss`, their weighted sum, as scalars by name.

        errors: squared errors by the name of their weight (`mse_teacher`, `mse_real`).
        images: the student's (B, 3, H, W) in [-1, 1]; real: the real ones.
        made:   the teacher's, if `needs_teacher`.
        """
        terms = errors | self.perceptual(images, real if self.settings.lpips_to == "real" else made)
        loss = sum(getattr(self.settings, name) * error for name, error in errors.items())
        if not errors:  # a Fréchet distance alone: while moments are collected nothing is learned
            loss = 0.0 * images.float().sum()
        loss = loss + self.lpips_weight * terms.get("lpips", 0.0)
        if self.frechet is not None:
            terms |= self.frechet.judge(images, real)
            loss = loss + self.frechet_weight * terms.get("frechet", 0.0)
        if self.adversary is not None:
            terms["gan"] = self.adversary.judge(images, real)
            balance = adaptive_weight(loss, terms["gan"], self.layer)
            terms["adaptive_weight"] = balance
            loss = loss + self.gan_weight * balance * terms["gan"]
        return {"loss": loss, **terms}

    def perceptual(self, images: Tensor, others: Tensor) -> dict[str, Tensor]:
        """The mean LPIPS of images and others (B, 3, H, W), as `lpips`; {} without a weight."""
        if self.lpips is None:
            return {}
        return {"lpips": lpips_distance(self.lpips, images, others).mean()}
