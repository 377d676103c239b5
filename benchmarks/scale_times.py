"""Where the time of a one-step decode goes: milliseconds of each scale, and of the whole decode.

    python benchmarks/scale_times.py STUDENT_FOLDER [--batches 1 16] [--rounds 15] [--threads 1]

Of the fast variant in fp32, in turns; medians and quartiles. The rest of a decode is noise, jumps
between scales and the clamp.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msdd.device import seconds
from msdd.fast.tokenizer import Fast, noise_of
from msdd.flow.noise import split
from msdd.tokenizers.msdd import load, tokens_of

WARM_CALLS = 5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| batch | part | ms | share |\n|---:|---|---:|---:|")
    for batch in args.batches:
        times = in_turns(calls(args.folder, batch), args.rounds)
        whole = np.median(times["decode"])
        for name, values in times.items():
            low, middle, high = 1e3 * np.quantile(values, [0.25, 0.5, 0.75])
            share = 100 * np.median(values) / whole
            print(f"| {batch} | {name} | {middle:.2f} [{low:.2f}, {high:.2f}] | {share:.0f} % |")


def calls(folder: Path, batch: int) -> dict[str, Callable[[], Tensor]]:
    """A call for each scale, by its side, and one for the whole decode."""
    fast = Fast(load(folder), batch, precision="fp32", compiled=False)
    images = torch.zeros(batch, 3, fast.resolution, fast.resolution)
    latents = fast.encode(images)
    tokens = tokens_of(latents, fast.config)
    normals = split(noise_of(fast, 0, range(batch)), fast.config.sides)
    parts = zip(fast.config.sides, fast.chain.decoders, normals, strict=True)
    scales = {f"{side} px": partial(decoder.denoise, x, tokens) for side, decoder, x in parts}
    return scales | {"decode": partial(fast.decode, latents)}


@torch.inference_mode()
def in_turns(calls: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, list[float]]:
    device, times = torch.device("cpu"), {name: [] for name in calls}
    for number in range(WARM_CALLS + rounds):
        for name, call in calls.items():
            taken = seconds(call, device)
            if number >= WARM_CALLS:
                times[name].append(taken)
    return times


if __name__ == "__main__":
    main()
