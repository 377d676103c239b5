"""The KL encoders of SSDD (arXiv 2510.04961), and the Gaussian posteriors that they output."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from msdd.model import vqgan
from msdd.model.config import KLEncoderConfig
from msdd.model.vqgan import regroup

LOG_VARIANCES = (-30.0, 20.0)  # the range they are clamped to, as in latent diffusion


class Posterior(NamedTuple):
    """A diagonal Gaussian over latents: mean and log-variance, (B, latent_dim, h, w) each."""

    mean: Tensor
    logvar: Tensor


def posterior(moments: Tensor) -> Posterior:
    """The posterior of an encoder's output (B, 2 latent_dim, h, w): means, then log-variances.

    Log-variances are clamped to [-30, 20].
    """
    mean, logvar = moments.chunk(2, dim=1)
    return Posterior(mean, logvar.clamp(*LOG_VARIANCES))


def draw(gaussian: Posterior, noise: Tensor) -> Tensor:
    """Latents (B, latent_dim, h, w): mean + deviation times the unit normals `noise`."""
    return torch.addcmul(gaussian.mean, torch.exp(0.5 * gaussian.logvar), noise)


def divergence(gaussian: Posterior) -> Tensor:
    """KL(posterior || N(0, I)) of each image in nats, (B,), summed over its latents."""
    mean, logvar = gaussian
    terms = mean.square() + logvar.exp() - 1 - logvar
    return 0.5 * terms.sum((1, 2, 3))


# The published encoders, by side of the image / side of the latents and by channels.
ENCODERS = {
    "f8c4": KLEncoderConfig(4, (1, 2, 4, 4)),
    "f16c4": KLEncoderConfig(4, (1, 2, 4, 4, 4)),
    "f16c16": KLEncoderConfig(16, (1, 2, 4, 4, 4)),
    "f32c64": KLEncoderConfig(64, (1, 2, 4, 4, 4, 4)),
}


class KLEncoder(vqgan.Encoder):
    """Images (B, 3, H, W) in [-1, 1] to moments (B, 2 latent_dim, H / factor, W / factor)."""

    def __init__(self, config: KLEncoderConfig) -> None:
        channels = 2 * config.latent_dim
        super().__init__(3, config.width, config.multipliers, config.blocks, channels)
        self.factor = config.factor
        self.out_proj = nn.Conv2d(channels, channels, 1)
        regroup(self, config.groups)

    def forward(self, images: Tensor) -> Tensor:
        return self.out_proj(super().forward(images))
