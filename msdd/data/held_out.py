"""Held-out crops for reports, which do not wait for torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msdd.arrays import read_npy
from msdd.errors import MsddError

OWNERS = "held_out_photographs.npy"


def photographs_of(folder: Path, count: int) -> list[int] | None:
    """The number of the photograph that each of the first `count` held-out crops was cut from.

    None for a folder prepared by an earlier version, which has no such list. MsddError if the list
    has fewer crops.
    """
    if not (folder / OWNERS).exists():
        return None
    owners = np.asarray(read_npy(folder / OWNERS))
    if owners.ndim != 1 or len(owners) < count:
        raise MsddError(f"{folder / OWNERS} is not of {count} crops: run `msdd prepare` again")
    return owners[:count].tolist()


def held_out(folder: Path, ids: Sequence[int]) -> np.ndarray:
    """The held-out crops at these places of a prepared folder, uint8 (N, H, W, 3).

    Raises MsddError if they are not there.
    """
    shards = [read_npy(file) for file in sorted((folder / "held_out").glob("*.npy"))]
    if sum(map(len, shards)) <= max(ids):
        raise MsddError(f"{folder}/held_out has no crop {max(ids)}: run `msdd prepare` again")
    rows = len(shards[0])
    return np.stack([shards[i // rows][i % rows] for i in ids])
