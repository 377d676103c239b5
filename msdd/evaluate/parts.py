"""What lines of text and faces have in common: parts of an image, measured by their size in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from msdd.data.pixels import as_uint8

SIZES = ("small", "medium", "large")


def by_size(parts: Sequence[Any], edges: Mapping[int, Sequence[float]], side: int) -> dict:
    """The parts of an image: all of them under "", and under `_small`, `_medium` and `_large` those
    of that `size`, a share of its longer side of so many pixels.

    edges: where SIZES begin, by that side, of which the nearest by ratio counts. What is smaller
           than the first of them is in no size.
    """
    begins = (*edges[min(edges, key=lambda known: abs(np.log2(known / side)))], np.inf)
    ends = zip(SIZES, begins, begins[1:], strict=False)
    sized = {f"_{name}": [part for part in parts if a <= part.size < b] for name, a, b in ends}
    return {"": parts, **sized}


def mean(values: Sequence[float]) -> float:
    """NaN of none."""
    return sum(values) / len(values) if values else float("nan")


def levels(image: Tensor) -> np.ndarray:
    """(3, H, W), uint8 or in [-1, 1], as (H, W, 3) of levels 0 to 255."""
    return np.ascontiguousarray(as_uint8(image).permute(1, 2, 0).cpu().numpy())
