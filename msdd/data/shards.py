"""Prepared crops on disk: NumPy arrays in shards, written at any place, read by memory map."""

import math
import resource
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from msdd.arrays import read_npy
from msdd.data.manifest import read_manifest
from msdd.errors import MsddError

SHARD_BYTES = 256 * 2**20


def rows_per_shard(resolution: int) -> int:
    """How many crops a shard holds: at most 256 MiB of them."""
    return max(1, SHARD_BYTES // (3 * resolution**2))


class ShardWriter(ExitStack):
    """Writes `count` crops to `folder`/00000.npy ... in any order; a context manager.

    Plain writes, not a memory map: on a full disk a write raises OSError, a map kills the process.
    """

    def __init__(self, folder: Path, count: int, resolution: int):
        super().__init__()
        self.rows, self.shape = rows_per_shard(resolution), (resolution, resolution, 3)
        folder.mkdir()
        allow_open_files(math.ceil(count / self.rows))
        self.shards = [
            self.open_shard(folder / f"{k:05d}.npy", min(self.rows, count - start))
            for k, start in enumerate(range(0, count, self.rows))
        ]

    def open_shard(self, path: Path, rows: int) -> tuple[BinaryIO, int]:
        """The file and where its first crop begins."""
        file = self.enter_context(path.open("wb"))
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, *self.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        return file, file.tell()

    def write(self, slots: np.ndarray, crops: np.ndarray) -> None:
        """Put the crops, uint8 (N, H, W, 3), at the places `slots`, integers (N,)."""
        for slot, crop in zip(slots.tolist(), crops, strict=True):
            shard, row = divmod(slot, self.rows)
            file, begin = self.shards[shard]
            file.seek(begin + row * crop.nbytes)
            file.write(crop.tobytes())


class Crops:
    """The crops of one split (`train` or `held_out`) of a prepared folder."""

    def __init__(self, folder: str | Path, split: str, expect_resolution: int | None = None):
        """Raises MsddError if the folder is not there, not whole, or of another resolution."""
        manifest = read_manifest(Path(folder))
        self.digest, self.resolution = manifest["digest"], manifest["resolution"]
        check_resolution(folder, manifest, expect_resolution)
        files = sorted(Path(folder, split).glob("*.npy"))
        allow_open_files(len(files))
        self.shards = [np.asarray(read_npy(file)) for file in files]
        self.length = manifest["crops"][split]
        if sum(map(len, self.shards)) != self.length:
            raise MsddError(
                f"{folder}/{split} does not hold the {self.length} crops that its manifest.json "
                "lists: run `msdd prepare` again"
            )

    def __len__(self) -> int:
        return self.length

    def batch(self, indices: np.ndarray, _positions: np.ndarray | None = None) -> torch.Tensor:
        """The crops at `indices`, integers (B,), as uint8 (B, 3, H, W); the same anywhere."""
        shard, row = np.divmod(np.asarray(indices), len(self.shards[0]))
        crops = np.empty((len(row), self.resolution, self.resolution, 3), np.uint8)
        for k in np.unique(shard):
            crops[shard == k] = self.shards[k][row[shard == k]]
        return torch.from_numpy(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))

    def names(self, indices: np.ndarray) -> list[str]:
        """What to call the crops at `indices`, integers (B,), in a message."""
        return [f"crop {index}" for index in indices.tolist()]

    def latents(self, _indices: np.ndarray) -> torch.Tensor | None:
        """Latents of the crops at `indices`, float32 (B, latents, latent_dim); None: not stored."""
        return None


def check_resolution(folder: str | Path, manifest: dict, expected: int | None) -> None:
    if expected not in (None, manifest["resolution"]):
        raise MsddError(
            f"{folder} holds crops of {manifest['resolution']} px and data.resolution is "
            f"{expected}: run `msdd prepare`"
        )


def allow_open_files(shards: int) -> None:
    """A thousand shards, a large data set, pass the usual limit of open files, which is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = shards + 512
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
