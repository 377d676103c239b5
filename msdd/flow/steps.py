"""Steps, settings and network evaluations of every scale. Does not import torch."""

from collections.abc import Sequence


def split_steps(steps: int | Sequence[int], count: int) -> list[int]:
    """Steps of each of `count` scales, coarsest first.

    A total is shared evenly, with the remainder going to the coarsest scales; a list holds the
    steps of each scale. Raises ValueError for a scale without a step and a list of another length.
    """
    if not isinstance(steps, int):
        result = list(steps)
    else:
        result = [steps // count + (i < steps % count) for i in range(count)]
    if len(result) != count or min(result) < 1:
        raise ValueError(f"steps {steps} do not give each of {count} scales at least one step")
    return result


def per_scale(value: float | Sequence[float], count: int) -> list[float]:
    """A setting at each of `count` scales: one number for all of them, or a list with one each.

    Raises ValueError for a list of another length.
    """
    result = list(value) if isinstance(value, Sequence) else [float(value)] * count
    if len(result) != count:
        raise ValueError(f"{value} has not one entry for each of {count} scales")
    return result


def nfe(steps: Sequence[int], guidance: Sequence[float]) -> int:
    """Network evaluations (NFE) of one decode: a step costs one, with guidance other than 1 two.

    steps, guidance: for each scale.
    """
    return sum(n * (1 if g == 1 else 2) for n, g in zip(steps, guidance, strict=True))
