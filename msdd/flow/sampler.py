"""Euler sampling over all scales: N steps are N evaluations of the velocity."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.jump import block_noise, jump
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


def nfe(steps: Sequence[int], guidance: Sequence[float]) -> int:
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
    """End states of all scales, coarsest first, from pure noise; the last one is the image.

    normals: iid unit normals at each scale's resolution (`noise.image_noise`); their number is S.
    """
    levels = scales(len(normals))
    return chain(velocity, normals[0], levels, normals[1:], steps, guidance, correlation)


def chain(
    velocity: Velocity,
    x: Tensor,
    levels: Sequence[Scale],
    normals: Sequence[Tensor],
    steps: Sequence[int],
    guidance: Sequence[float],
    correlation: float = CORRELATIONS["white"],
) -> list[Tensor]:
    """End states of consecutive scales, from the state x at the start of the first.

    normals: for each later scale, at its resolution.
    """
    states = [euler(velocity, x, levels[0], steps[0], guidance[0])]
    later = zip(levels, levels[1:], normals, steps[1:], guidance[1:], strict=False)
    for before, scale, normal, n, g in later:
        x = jump(states[-1], block_noise(normal, correlation), before.end)
        states.append(euler(velocity, x, scale, n, g))
    return states
