"""NumPy's files, read back in bounds: what a header promises is held against the file first."""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from msdd.errors import MsddError

MOST = 2**32  # bytes of an array in an archive; of 50,000 images there are 2^29 of features
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(path: str | Path) -> np.ndarray:
    """The array in a `.npy` file, mapped. MsddError if it is damaged, or holds objects."""
    return attempted(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))


def read_npz(path: str | Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a `.npz` file by name, all or these. Runs no code of the file's.

    MsddError if the file is damaged, lacks one, or one is of objects, of more than 4 GiB, or larger
    than its place in the file.
    """
    return attempted(path, lambda: members(path, names))


def attempted(path, read):
    """What `read` returns; each way of being damaged has an exception of its own."""
    try:
        return read()
    except Exception as error:
        if isinstance(error, OSError) and error.filename:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        told = f"{path} cannot be read as arrays ({reason}); make or fetch it again"
        raise MsddError(told) from error


def members(path: str | Path, names: Iterable[str] | None) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        found = [one.removesuffix(".npy") for one in archive.namelist()]
        return {name: member(archive, name) for name in (found if names is None else names)}


def member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array. ValueError if it cannot be as large as its header says."""
    place = archive.getinfo(f"{name}.npy")
    with archive.open(place) as file:
        if place.file_size > MOST or size_of(file) > place.file_size:
            raise ValueError(f"{name} is larger than its file, or than {MOST:,} bytes")
    with archive.open(place) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def size_of(file: BinaryIO) -> int:
    """Bytes of an array, by its header."""
    version = np.lib.format.read_magic(file)
    shape, _, kind = HEADERS[version](file)
    if kind.hasobject or any(side < 0 for side in shape):
        raise ValueError(f"it holds {kind} of shape {shape}")
    return math.prod(shape) * kind.itemsize
