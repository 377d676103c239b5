"""Teacher and student as the sampler sees them: velocities of a state, given an image's latents."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.sampler import Velocity, sample
from msdd.flow.scales import Scale
from msdd.model import autoencoder
from msdd.model.autoencoder import Autoencoder


@torch.no_grad()
def encode(teacher: Autoencoder, images: Tensor) -> Tensor:
    """Latents (B, latents, latent_dim) of images; the encoder stays as stage 1 left it."""
    return autoencoder.encode(teacher.encoder, images)


def teacher_velocity(teacher: Autoencoder, latents: Tensor) -> Velocity:
    """With latents and, for guidance, without."""

    def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
        return teacher.decoder.velocity(x, t, scale, latents if conditional else None)

    return velocity


def student_velocity(network: nn.ModuleList, latents: Tensor) -> Velocity:
    """One decoder for all scales, or one for each; never without latents."""

    def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
        return network[scale.index % len(network)].velocity(x, t, scale, latents)

    return velocity


def draw_noise(images: Tensor, sides: Sequence[int]) -> list[Tensor]:
    """Fresh unit normals for as many images at each side."""
    return [torch.randn(len(images), 3, side, side, device=images.device) for side in sides]


def one_step_chain(
    network: nn.ModuleList,
    latents: Tensor,
    normals: Sequence[Tensor],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """The students' end states of all scales, one step each, with the gradient through them all."""
    ones = [1] * len(normals)
    return sample(student_velocity(network, latents), normals, ones, ones, correlation)
