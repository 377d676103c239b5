"""The noise levels of each scale, and the one global time the network sees (paper section 3)."""

from dataclasses import dataclass
from functools import cache

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

    def time(self, t: float | Tensor) -> float | Tensor:
        """The global time T in [0, 1] at the local time t in [0, 1], linear between the ends."""
        return self.last + (self.first - self.last) * t


def end_level(index: int, count: int) -> float:
    """e_i = 1 - (i + 1) / S of scale i of S: the noise levels from 1 to 0 are split evenly."""
    return 1 - (index + 1) / count


def start_level(index: int, count: int) -> float:
    """s_i = 2e / (1 + e) with e = e_(i - 1), the end of the scale before; s_0 = 1, pure noise.

    Enlarging by nearest neighbour leaves 2x2 blocks of equal noise. s_i is the lowest level at
    which added noise makes the sum white again (`msdd.flow.jump`).
    """
    if index == 0:
        return 1.0
    end = end_level(index - 1, count)
    return 2 * end / (1 + end)


@cache
def split_time(count: int) -> tuple[Scale, ...]:
    """The `count` scales, coarsest first, as they share the global time T from 1 to 0.

    The share of scale i is proportional to s_i - e_i (paper section 3). Raises ValueError for a
    count below 1.
    """
    if count < 1:
        raise ValueError(f"a flow has at least one scale, not {count}")
    levels = [(start_level(i, count), end_level(i, count)) for i in range(count)]
    total = sum(start - end for start, end in levels)
    result, first = [], 1.0
    for i, (start, end) in enumerate(levels):
        last = 0.0 if i == count - 1 else first - (start - end) / total
        result.append(Scale(i, 2 ** (count - 1 - i), start, end, first, last))
        first = last
    return tuple(result)
