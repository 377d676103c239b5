"""Charts as numbers: the places of ticks, lines and points. The templates turn them into SVG."""

import math
from dataclasses import dataclass

STEPS = (1, 2, 5)
LETTER = 6.2  # width of a letter of a label


@dataclass(frozen=True)
class Axis:
    """Maps values in [low, high] to places in [start, end], linearly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        low, high, value = ((math.log(x) if self.log else x) for x in (self.low, self.high, value))
        share = (value - low) / ((high - low) or 1)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels of round values."""
        values = self._decades() if self.log else self._steps(8)
        if len(values) < 2:
            values = self._steps(4)
        return [(self.place(value), label(value)) for value in values]

    def _decades(self) -> list[float]:
        first, last = (math.floor(math.log10(end)) for end in (self.low, self.high))
        steps = STEPS if last - first < 4 else (1,)
        values = [step * 10.0**k for k in range(first, last + 1) for step in steps]
        return [value for value in values if self.low <= value <= self.high]

    def _steps(self, most: int) -> list[float]:
        rough = ((self.high - self.low) or 1) / most
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * s for s in (*STEPS, 10) if power * s >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [k * step for k in range(first, last + 1)]


def label(value: float) -> str:
    """`0.02`, `5`, `20k`, `3M`."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{float(f'{value:.6g}'):g}"


def thinned(points: list, most: int) -> list:
    """About `most` of the points, evenly spaced, always with the first and the last."""
    step = max(1, math.ceil(len(points) / most))
    return points if step == 1 else [*points[:-1:step], points[-1]]
