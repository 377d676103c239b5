"""The joint distillation of the authors' released code, as an ablation.

It differs from `chain` in three ways: the teacher starts from the student's own image, renoised to
a random level; it too takes one step per scale; the noise between scales has correlation +1/3.
"""

import torch
from torch import Tensor, nn

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.path import downsample
from msdd.flow.sampler import chain
from msdd.flow.scales import Scale
from msdd.flow.steps import per_scale
from msdd.model.autoencoder import Autoencoder
from msdd.params.sections import Distil
from msdd.train.adversary import adaptive_weight
from msdd.train.objective import Objective
from msdd.train.velocities import draw_noise, encode, one_step_chain, teacher_velocity

FACTOR = 2.5  # of all terms except the adversary's


def losses(
    network: nn.ModuleList,
    teacher: Autoencoder,
    images: Tensor,
    settings: Distil,
    objective: Objective,
    stored: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss L = w g + 2.5 (c r + p_w p), as scalars by name.

    images: (B, 3, R, R) in [-1, 1]. r is the sum, over the scales from a random one to the last, of
    the squared error of the student's end states to the teacher's; c = 1 / (1 + u) with u the level
    that the student's image was renoised to; p is LPIPS to the real images, with weight p_w; g is
    the adversary's loss, and w makes its gradient as large as that of r + p_w p.
    """
    scales = teacher.config.flow
    ones = [1] * len(scales)
    latents = encode(teacher, images, stored)
    normals = draw_noise(images, teacher.config.sides)
    student = one_step_chain(network, latents, normals, CORRELATIONS["paper_code"])
    u = torch.rand(()).item()
    first = start_of(u, scales)
    with torch.no_grad():
        small = downsample(student[-1], scales[first])
        x = torch.lerp(small, torch.randn_like(small), u)
        fresh = [torch.randn_like(normal) for normal in normals[first + 1 :]]
        guidance = per_scale(settings.guidance, len(scales))
        targets = chain(
            teacher_velocity(teacher, latents),
            x,
            scales[first:],
            fresh,
            ones[first:],
            guidance[first:],
            CORRELATIONS["paper_code"],
        )
    r = sum((a - b).square().mean() for a, b in zip(student[first:], targets, strict=True))
    return weigh(r, 1 / (1 + u), student[-1], images, settings, objective)


def start_of(u: float, scales: tuple[Scale, ...]) -> int:
    """The index of the scale whose part of the global time T contains u in [0, 1)."""
    return next(scale.index for scale in scales if u >= scale.last)


def weigh(
    r: Tensor, c: float, image: Tensor, real: Tensor, settings: Distil, objective: Objective
) -> dict[str, Tensor]:
    """The terms of `losses` and their weighted sum; terms of weight 0 are left out."""
    terms = {"mse_teacher": r, **objective.perceptual(image, real)}
    perceptual = objective.lpips_weight * terms.get("lpips", 0.0)
    loss = FACTOR * (settings.mse_teacher * c * r + perceptual)
    if objective.adversary is not None:
        terms["gan"] = objective.adversary.judge(image, real)
        plain = settings.mse_teacher * r + perceptual
        balance = adaptive_weight(plain, terms["gan"], objective.layer)
        terms["adaptive_weight"] = balance
        loss = loss + objective.gan_weight * balance * terms["gan"]
    return {"loss": loss, **terms}
