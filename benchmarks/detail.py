"""What is left of fine detail: energy and error of reconstructions by octaves of frequency.

    python benchmarks/detail.py FOLDER... [--prepared data/prepared] [--images 256]
                                [--steps 8 --guidance 1.5]

FOLDER: a model folder, as `msdd export` takes. The octave of side s is what averages over 2 x 2
pixels remove from an image of s px; all octaves together hold all but the mean colours. `energy`:
that of the reconstructions over that of the originals, 1 if as much detail is there, true or not;
`error`: energy of the difference over that of the originals, 1 if a grey octave were as good.
Intervals redraw photographs.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scale_errors import arguments, crops
from torch import Tensor

from msdd.flow.path import down
from msdd.metrics.intervals import resampled_means
from msdd.tokenizers.msdd import load

BATCH, COARSEST = 64, 4


def main() -> None:
    args = arguments()
    images, groups = crops(args)
    print("| model | octave | energy | error |\n|---|---:|---:|---:|")
    for folder in args.folders:
        tokenizer = load(folder, args.steps, args.guidance)
        made = torch.cat([tokenizer.reconstruct(part) for part in images.split(BATCH)])
        for original, octave in zip(octaves(images), octaves(made.clamp(-1, 1)), strict=True):
            whole = energy(original)
            cells = [ratio(energy(x), whole, groups) for x in (octave, octave - original)]
            print(f"| {folder} | {original.shape[-1]} | {cells[0]} | {cells[1]} |", flush=True)


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


def ratio(of: Tensor, whole: Tensor, groups: Sequence[int] | None) -> str:
    """Of sums over images (N,), with its 95 % interval."""
    drawn = resampled_means(torch.stack([of, whole], dim=1).numpy(), groups)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return f"{(of.sum() / whole.sum()).item():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
