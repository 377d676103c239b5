"""Euler sampling over all scales: N steps without guidance are N evaluations of the velocity."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.jump import block_noise, jump
from msdd.flow.scales import Scale

# velocity(x, t, scale, conditional) -> v, all (B, 3, H, W); t in [0, 1] is local.
Velocity = Callable[[Tensor, float, Scale, bool], Tensor]


def guided_velocity(
    velocity: Velocity, x: Tensor, t: float, scale: Scale, guidance: float
) -> Tensor:
    """Classifier-free guidance: v_null + g (v - v_null), (B, 3, H, W).

    Guidance 1 never evaluates the null branch.
    """
    v = velocity(x, t, scale, True)
    return v if guidance == 1 else torch.lerp(velocity(x, t, scale, False), v, guidance)


def euler(velocity: Velocity, x: Tensor, scale: Scale, steps: int, guidance: float = 1) -> Tensor:
    """The end state X_e of a scale from its start state x = X_s (B, 3, H, W).

    Takes `steps` equal Euler steps of the local time from 1 to 0.
    """
    for i in range(steps):
        x = x - guided_velocity(velocity, x, 1 - i / steps, scale, guidance) / steps
    return x


def sample(
    velocity: Velocity,
    scales: Sequence[Scale],
    normals: Sequence[Tensor],
    steps: Sequence[int],
    guidance: Sequence[float],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """End states of all S scales, coarsest first, from pure noise; the last one is the image.

    scales:      all of a flow (`msdd.flow.scales.split_time`).
    normals:     iid unit normals (B, 3, side, side) for each scale (`msdd.flow.noise`).
    steps, guidance: for each scale.
    correlation: of the noise added between scales, inside 2x2 blocks (`msdd.flow.jump`).
    """
    return chain(velocity, normals[0], scales, normals[1:], steps, guidance, correlation)


def chain(
    velocity: Velocity,
    x: Tensor,
    scales: Sequence[Scale],
    normals: Sequence[Tensor],
    steps: Sequence[int],
    guidance: Sequence[float],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """End states of consecutive scales, from the state x (B, 3, H, W) at the start of the first.

    normals: iid unit normals for each scale except the first, at its resolution.
    steps, guidance: for each scale.
    """
    states = [euler(velocity, x, scales[0], steps[0], guidance[0])]
    later = zip(scales, scales[1:], normals, steps[1:], guidance[1:], strict=False)
    for before, scale, normal, n, g in later:
        x = jump(states[-1], block_noise(normal, correlation), before.end)
        states.append(euler(velocity, x, scale, n, g))
    return states
