"""The velocity functions of teacher and student, as the sampler calls them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.noise import image_noise, silenced
from msdd.flow.sampler import Velocity, sample
from msdd.flow.scales import Scale
from msdd.model import autoencoder
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig


def encode(
    teacher: Autoencoder, images: Tensor, stored: Tensor | None, trained: bool = False
) -> Tensor:
    """Latents (B, latents, latent_dim) of images (B, 3, R, R), by the teacher's encoder.

    stored:  the latents, if they were computed before; the teacher has no encoder then.
    trained: whether gradients reach the encoder.
    """
    if stored is not None:
        return stored
    with torch.set_grad_enabled(trained):
        return autoencoder.encode(teacher.encoder, images)


def teacher_velocity(teacher: Autoencoder, latents: Tensor) -> Velocity:
    """The teacher's velocity, with latents (B, latents, latent_dim) or, for guidance, without."""

    def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
        return teacher.decoder.velocity(x, t, scale, latents if conditional else None)

    return velocity


def student_velocity(network: nn.ModuleList, latents: Tensor) -> Velocity:
    """The students' velocity, always with latents (B, latents, latent_dim).

    network: one decoder for all scales, or one for each.
    """

    def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
        return network[scale.index % len(network)].velocity(x, t, scale, latents)

    return velocity


def decoded(
    velocity: Velocity, images: Tensor, config: ModelConfig, steps: int, noise: str = "drawn"
) -> Tensor:
    """Unguided samples (B, 3, R, R) with so many steps a scale; their noise, if it is drawn,
    depends on nothing but an image's place. images: as many, on the device."""
    drawn = image_noise(0, range(len(images)), config.sides, images.device)
    normals = [silenced(normal, noise) for normal in drawn]
    ones = [1] * config.scales
    return sample(velocity, config.flow, normals, [steps] * config.scales, ones)[-1]


def draw_noise(images: Tensor, sides: Sequence[int], noise: str = "drawn") -> list[Tensor]:
    """Unit normals (B, 3, side, side) for each of the sides, from torch's global generator; zeros
    where `noise` is `zero`."""
    draw = torch.randn if noise == "drawn" else torch.zeros
    return [draw(len(images), 3, side, side, device=images.device) for side in sides]


def one_step_chain(
    network: nn.ModuleList,
    latents: Tensor,
    normals: Sequence[Tensor],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """The students' end states (B, 3, side, side) of all scales, after one step in each.

    The gradient passes through the whole chain. normals, correlation: as for `flow.sampler.sample`.
    """
    ones = [1] * len(normals)
    velocity, scales = student_velocity(network, latents), network[0].config.flow
    return sample(velocity, scales, normals, ones, ones, correlation)
