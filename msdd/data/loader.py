"""The stream of training images: a function of the seed and of how many images were seen."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from msdd.data.prefetch import prefetch
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.seeds import generator

AHEAD = 2  # batches made while the model works on one
COINS = 4096  # flips are drawn in blocks of this many positions


def batch_indices(seed: int, length: int, start: int, batch: int) -> np.ndarray:
    """Which of `length` crops are at positions [start, start + batch) of the stream: int64 (B,).

    Each epoch is a permutation of its own; a batch may straddle epochs. Needs no state, so a run
    resumed at image k goes on as if it had not stopped.
    """
    epochs, places = np.divmod(np.arange(start, start + batch), length)
    indices = np.empty(batch, np.int64)
    for epoch in np.unique(epochs).tolist():
        chosen = epochs == epoch
        indices[chosen] = permutation(seed, length, epoch)[places[chosen]]
    return indices


@lru_cache(maxsize=2)
def permutation(seed: int, length: int, epoch: int) -> np.ndarray:
    return generator(seed, "epoch", epoch).permutation(length)


def flips(seed: int, positions: np.ndarray) -> np.ndarray:
    """A fair coin for each position of the stream: bool, of the shape of `positions`."""
    blocks, places = np.divmod(positions, COINS)
    coins = np.empty(len(positions), bool)
    for block in np.unique(blocks).tolist():
        chosen = blocks == block
        coins[chosen] = coin_block(seed, block)[places[chosen]]
    return coins


@lru_cache(maxsize=2)
def coin_block(seed: int, block: int) -> np.ndarray:
    return generator(seed, "flip", block).random(COINS) < 0.5


Batch = tuple[torch.Tensor, np.ndarray, torch.Tensor | None]


class Loader:
    """Endless batches of training images from position `start` on, made by a thread ahead of need.

    Iterating yields (images, positions, latents): uint8 (B, 3, H, W), their places in the stream,
    int64 (B,), and their stored latents, or None. Without latents half of the images are mirrored.
    What stands at a position does not depend on where a process started. An error in the thread is
    raised at the batch it concerns.

    pinned: in memory from which a GPU copies while it computes.
    stride: positions from the start of one batch to that of the next; more than `batch` where
            other processes load what lies between. By default `batch`.
    """

    def __init__(
        self,
        crops: Crops | RandomCrops,
        seed: int,
        batch: int,
        start: int = 0,
        pinned: bool = False,
        stride: int | None = None,
    ) -> None:
        self.crops, self.seed, self.batch, self.start = crops, seed, batch, start
        self.pinned, self.stride = pinned, stride or batch
        self.thread = ThreadPoolExecutor(1, "loader")

    def __iter__(self) -> Iterator[Batch]:
        starts = ([start] for start in itertools.count(self.start, self.stride))
        for [batch] in prefetch(self.load, starts, self.thread, AHEAD):
            yield batch

    def load(self, start: int) -> Batch:
        """The batch at [start, start + batch).

        In NumPy: torch would start a second team of threads beside that of the training loop.
        """
        positions = np.arange(start, start + self.batch)
        indices = batch_indices(self.seed, len(self.crops), start, self.batch)
        pixels = self.crops.batch(indices, positions).numpy()
        latents = self.crops.latents(indices)
        if latents is None:  # else they are of the crops as they are
            mirrored = flips(self.seed, positions)
            pixels[mirrored] = pixels[mirrored][..., ::-1]
        images = torch.from_numpy(pixels)
        if self.pinned:  # both: of other memory a copy waits for what the GPU was asked before
            images = images.pin_memory()
            latents = None if latents is None else latents.pin_memory()
        return images, positions, latents

    def close(self) -> None:
        """Stop the thread; batches that were not asked for are dropped."""
        self.thread.shutdown(cancel_futures=True)

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
