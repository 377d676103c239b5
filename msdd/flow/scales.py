"""The noise levels of each scale, and the one global time the network sees (paper section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the params are checked without torch
    from torch import Tensor


@dataclass(frozen=True)
class Scale:
    """One of the S scales of a flow (paper section 3); time runs from noise (1) to data (0).

    index:  0 is the coarsest scale, S - 1 has the full resolution.
    factor: full side / side of this scale, 2^(S - 1 - index).
    start:  s, the share of noise at local time t = 1.
    end:    e, the share of noise at local time t = 0.
    first, last: the global time T at t = 1 and at t = 0.
    """

    index: int
    factor: int
    start: float
    end: float
    first: float
    last: float

    def time(self, t: "float | Tensor") -> "float | Tensor":
        """The global time T in [0, 1] at the local time t in [0, 1], linear between the ends."""
        return self.last + (self.first - self.last) * t


def even_ends(count: int) -> tuple[float, ...]:
    """e_i = 1 - (i + 1) / S of each of S scales: the noise levels from 1 to 0 are split evenly."""
    return tuple(1 - (i + 1) / count for i in range(count))


def check_ends(ends: Sequence[float], count: int) -> None:
    """ValueError for what are no end levels of `count` scales."""
    if len(ends) != count:
        raise ValueError(f"end_levels {list(ends)} has {len(ends)} levels for {count} scales")
    if ends[-1] != 0 or not all(a > b for a, b in zip((1.0, *ends), ends, strict=False)):
        raise ValueError(f"end_levels {list(ends)} must fall from below 1 to 0")


def start_level(end: float) -> float:
    """s = 2e / (1 + e) after a scale that ends at e; pure noise ends at 1, so that s_0 = 1.

    Enlarging by nearest neighbour leaves 2x2 blocks of equal noise. s is the lowest level at
    which added noise makes the sum white again (`msdd.flow.jump`).
    """
    return 2 * end / (1 + end)


@cache
def split_time(count: int, ends: tuple[float, ...] | None = None) -> tuple[Scale, ...]:
    """The `count` scales, coarsest first, as they share the global time T from 1 to 0.

    The share of scale i is proportional to s_i - e_i (paper section 3).

    ends: e_i of each scale, falling to 0; None: even ones, the paper's. Raises ValueError for a
    count below 1 and for other ends.
    """
    if count < 1:
        raise ValueError(f"a flow has at least one scale, not {count}")
    ends = even_ends(count) if ends is None else ends
    check_ends(ends, count)
    levels = [(start_level(a), b) for a, b in zip((1.0, *ends), ends, strict=False)]
    total = sum(start - end for start, end in levels)
    result, first = [], 1.0
    for i, (start, end) in enumerate(levels):
        last = 0.0 if i == count - 1 else first - (start - end) / total
        result.append(Scale(i, 2 ** (count - 1 - i), start, end, first, last))
        first = last
    return tuple(result)
