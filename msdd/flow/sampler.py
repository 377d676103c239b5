"""Euler sampling over all scales: N steps are N evaluations of the velocity."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from msdd.flow.jump import CORRELATIONS, block_noise, jump
from msdd.flow.scales import Scale, scales

# velocity(x, t, scale, conditional) -> v, all (B, 3, H, W); t in [0, 1] is local.
Velocity = Callable[[Tensor, float, Scale, bool], Tensor]


def split_steps(steps: int | Sequence[int], count: int) -> list[int]:
    """Steps per scale, coarsest first, from a total: even shares, the remainder to the coarsest.

    A list is taken as it stands. Raises ValueError for fewer steps than scales.
    """
    if not isinstance(steps, int):
        result = list(steps)
    else:
        result = [steps // count + (i < steps % count) for i in range(count)]
    if len(result) != count or min(result) < 1:
        raise ValueError(f"steps {steps} do not give each of {count} scales at least one step")
    return result


def per_scale(value: float | Sequence[float], count: int) -> list[float]:
    """One number for every scale, or a list with one each."""
    result = list(value) if isinstance(value, Sequence) else [float(value)] * count
    if len(result) != count:
        raise ValueError(f"{value} has not one entry for each of {count} scales")
    return result


def forward_passes(steps: Sequence[int], guidance: Sequence[float]) -> int:
    """Network evaluations of one decode; a guided step costs two."""
    return sum(n * (1 if g == 1 else 2) for n, g in zip(steps, guidance, strict=True))


def guided(velocity: Velocity, x: Tensor, t: float, scale: Scale, guidance: float) -> Tensor:
    """v_null + g (v - v_null); guidance 1 never evaluates the null branch."""
    v = velocity(x, t, scale, True)
    return v if guidance == 1 else torch.lerp(velocity(x, t, scale, False), v, guidance)


def euler(velocity: Velocity, x: Tensor, scale: Scale, steps: int, guidance: float = 1) -> Tensor:
    """From X_s to X_e inside one scale, in `steps` equal steps of local time from 1 to 0."""
    for i in range(steps):
        x = x - guided(velocity, x, 1 - i / steps, scale, guidance) / steps
    return x


def sample(
    velocity: Velocity,
    normals: Sequence[Tensor],
    steps: Sequence[int],
    guidance: Sequence[float],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """End states of all scales, coarsest first; the last one is the image.

    normals: iid unit normals at each scale's resolution (`noise.image_noise`); their number is S.
    """
    states, x = [], normals[0]
    for scale, normal, n, g in zip(scales(len(normals)), normals, steps, guidance, strict=True):
        if states:
            noise = block_noise(normal, correlation)
            x = jump(states[-1], noise, scales(len(normals))[scale.index - 1].end)
        x = euler(velocity, x, scale, n, g)
        states.append(x)
    return states
