"""The noise levels of each scale, and the one global time the network sees (paper section 3)."""

from dataclasses import dataclass
from functools import cache

from torch import Tensor


@dataclass(frozen=True)
class Scale:
    """One scale of the flow; time runs from noise (1) to data (0).

    index:  0 is the coarsest scale, S - 1 has the full resolution.
    factor: full side / side of this scale.
    start:  s, noise level at local t = 1.
    end:    e, noise level at local t = 0.
    first, last: global time T at local t = 1 and t = 0.
    """

    index: int
    factor: int
    start: float
    end: float
    first: float
    last: float

    def time(self, t: float | Tensor) -> float | Tensor:
        """Global time T in [0, 1] of local time t in [0, 1]."""
        return self.last + (self.first - self.last) * t


def end_level(index: int, count: int) -> float:
    """e_i = 1 - (i + 1) / S: the global noise level [1, 0] is split evenly."""
    return 1 - (index + 1) / count


def start_level(index: int, count: int) -> float:
    """s_i = 2e / (1 + e) with e the previous scale's end; pure noise at the coarsest scale.

    Enlarging by nearest leaves 2x2 blocks of equal noise; this is the lowest level at which
    added noise can make the sum white again (see `jump`).
    """
    if index == 0:
        return 1.0
    end = end_level(index - 1, count)
    return 2 * end / (1 + end)


@cache
def scales(count: int) -> tuple[Scale, ...]:
    """The `count` scales, coarsest first; each takes a share of T proportional to s - e."""
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
