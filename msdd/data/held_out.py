"""Held-out crops for reports, which do not wait for torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msdd.arrays import read_npy
from msdd.errors import MsddError


def held_out(folder: Path, ids: Sequence[int]) -> np.ndarray:
    """The held-out crops at these places of a prepared folder, uint8 (N, H, W, 3).

    Raises MsddError if they are not there.
    """
    shards = [read_npy(file) for file in sorted((folder / "held_out").glob("*.npy"))]
    if sum(map(len, shards)) <= max(ids):
        raise MsddError(f"{folder}/held_out has no crop {max(ids)}: run `msdd prepare` again")
    rows = len(shards[0])
    return np.stack([shards[i // rows][i % rows] for i in ids])
