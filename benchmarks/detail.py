"""What is left of fine detail: energy and error of reconstructions by octaves of frequency.

    python benchmarks/detail.py FOLDER... [--prepared data/prepared] [--images 256]
                                [--steps 8 --guidance 1.5]

FOLDER: a model folder, as `msdd export` takes. The octave of side s is what averages over 2 x 2
pixels remove from an image of s px; all octaves together hold all but the mean colours. `energy`:
that of the reconstructions over that of the originals, 1 if as much detail is there, true or not;
`error`: energy of the difference over that of the originals, 1 if a grey octave were as good. The
last row of a folder is of the finest octave in the flattest tenth of blocks of 8 x 8 pixels, where
an energy above 1 is grain.
Intervals redraw photographs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from scale_errors import arguments, crops
from torch import Tensor

from msdd.flow.path import down
from msdd.metrics.intervals import resampled_means
from msdd.tokenizers.msdd import load

BATCH, COARSEST, BLOCK = 64, 4, 8


def main() -> None:
    args = arguments()
    images, groups = crops(args)
    print("| model | octave | energy | error |\n|---|---:|---:|---:|")
    for folder in args.folders:
        tokenizer = load(folder, args.steps, args.guidance)
        made = torch.cat([tokenizer.reconstruct(part) for part in images.split(BATCH)])
        for original, octave in zip(octaves(images), octaves(made.clamp(-1, 1)), strict=True):
            row(folder, str(original.shape[-1]), original, octave, groups)
        finest = [blocks(octaves(x)[0]) for x in (images, made.clamp(-1, 1))]
        flat = energy(finest[0]).argsort()[: len(finest[0]) // 10]
        of_blocks = owners(groups, len(images), len(finest[0]))[flat]
        row(folder, "flat", finest[0][flat], finest[1][flat], of_blocks)


def row(folder: Path, name: str, original: Tensor, made: Tensor, groups: ArrayLike | None) -> None:
    whole = energy(original)
    cells = [ratio(energy(x), whole, groups) for x in (made, made - original)]
    print(f"| {folder} | {name} | {cells[0]} | {cells[1]} |", flush=True)


def blocks(x: Tensor) -> Tensor:
    """Of (N, 3, s, s), image after image: (N (s / 8)^2, 3, 8, 8)."""
    tiles = x.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)
    return tiles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def owners(groups: Sequence[int] | None, images: int, count: int) -> np.ndarray:
    """Which photograph, or image, each of so many blocks is of."""
    return np.repeat(np.arange(images) if groups is None else groups, count // images)


def octaves(x: Tensor) -> list[Tensor]:
    """From the finest side on: what averages over 2 x 2 remove at each (N, 3, s, s)."""
    parts = []
    while x.shape[-1] > COARSEST:
        smaller = down(x)
        parts.append(x - F.interpolate(smaller, scale_factor=2))
        x = smaller
    return parts


def energy(x: Tensor) -> Tensor:
    return x.double().square().mean((1, 2, 3))


def ratio(of: Tensor, whole: Tensor, groups: ArrayLike | None) -> str:
    """Of sums over images (N,), with its 95 % interval."""
    drawn = resampled_means(torch.stack([of, whole], dim=1).numpy(), groups)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return f"{(of.sum() / whole.sum()).item():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
