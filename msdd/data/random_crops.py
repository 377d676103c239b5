"""Training images that are cut anew, at every position of the stream, from stored photographs."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from msdd.data.crops import crops
from msdd.data.image_file import decode
from msdd.data.manifest import read_manifest
from msdd.data.photograph_shards import PhotographShards
from msdd.data.shards import Crops, check_resolution
from msdd.params.sections import Data


class RandomCrops:
    """Random crops of the prepared photographs to train on; interchangeable with `Crops`.

    The crop at a position is a function of the photograph, the seed and the position alone: a
    resumed run sees what an uninterrupted one would, and no two epochs see the same crop (but by
    chance, about one in 100,000 for ADM's crops of 256 px from photographs of 500 x 375).
    Mirroring is the loader's.

    threads: that decode and cut; images do not depend on them.
    """

    def __init__(self, folder: Path, seed: int, threads: int, expect_resolution: int | None = None):
        """Raises MsddError if the folder is not there, not whole, or of another resolution."""
        manifest = read_manifest(folder)
        check_resolution(folder, manifest, expect_resolution)
        self.digest, self.resolution, self.seed = manifest["digest"], manifest["resolution"], seed
        self.data = Data.model_validate_json(json.dumps(manifest["data"]))
        self.length = manifest["crops"]["train"]
        self.photographs = PhotographShards(folder / "train", self.length)
        self.pool = ThreadPoolExecutor(threads, "decode")

    def __len__(self) -> int:
        """The number of photographs: one crop of each is an epoch."""
        return self.length

    def batch(self, indices: np.ndarray, positions: np.ndarray) -> torch.Tensor:
        """Crops of the photographs `indices`, for these positions: uint8 (B, 3, H, W)."""
        cut = self.pool.map(self.crop, indices.tolist(), positions.tolist())
        return torch.from_numpy(np.ascontiguousarray(np.stack(list(cut)).transpose(0, 3, 1, 2)))

    def names(self, indices: np.ndarray) -> list[str]:
        """The photographs at `indices`, integers (B,), for a message."""
        return [self.photographs.read(index)[0] for index in indices.tolist()]

    def latents(self, _indices: np.ndarray) -> None:
        """None: crops that are cut anew have no stored latents."""

    def crop(self, index: int, position: int) -> np.ndarray:
        """uint8 (H, W, 3)."""
        name, file = self.photographs.read(index)
        pixels = decode(file, name, self.data.to_srgb)
        return crops(pixels, (self.seed, "position"), position, position + 1, self.data)[0]


def training_images(
    folder: Path, seed: int, threads: int, expect_resolution: int
) -> Crops | RandomCrops:
    """What `data.store` has made of the photographs to train on; errors as for `Crops`."""
    if read_manifest(folder)["data"].get("store") == "photographs":
        return RandomCrops(folder, seed, threads, expect_resolution)
    return Crops(folder, "train", expect_resolution)
