"""At which scale a decode goes wrong: PSNR of every scale, in the chain and from the truth.

    python benchmarks/scale_errors.py FOLDER... [--prepared data/prepared] [--images 256]
                                      [--steps 8 --guidance 1.5]

FOLDER: a model folder, `runs/<model>/stage1` (with steps and guidance) or `runs/<model>/<student>`.
For each scale: the PSNR of its clean image in the chain, and of the same scale alone, begun from
the original; and that of the last image of a chain which begins there, from the original. The
originals are downsampled to the scale. Intervals are those of the tables.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from msdd.data.held_out import held_out, photographs_of
from msdd.data.pixels import from_uint8
from msdd.evaluate.trace import trace
from msdd.flow.path import clean_estimate, downsample, start_state
from msdd.flow.sampler import chain
from msdd.flow.scales import Scale
from msdd.metrics.intervals import bootstrap, groups_of
from msdd.metrics.pixel import psnr
from msdd.tokenizers.msdd import MSDD, load, tokens_of

BATCH = 64
COLUMNS = ("in the chain", "alone", "the chain from here")


def main() -> None:
    args = arguments()
    images, groups = crops(args)
    print(f"| model | side | {' | '.join(COLUMNS)} |\n|---|---:|---:|---:|---:|")
    for folder in args.folders:
        tokenizer = load(folder, args.steps, args.guidance)
        for side, columns in zip(tokenizer.config.sides, table(tokenizer, images), strict=True):
            cells = ("{:.2f} [{:.2f}, {:.2f}]".format(*bootstrap(c, groups)) for c in columns)
            print(f"| {folder} | {side} | {' | '.join(cells)} |", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--prepared", type=Path, default=Path("data/prepared"))
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, default=1.0)
    return parser.parse_args()


def crops(args: argparse.Namespace) -> tuple[Tensor, Sequence[int] | None]:
    """The first held-out images (N, 3, H, W), and of which photograph each is."""
    images = torch.from_numpy(held_out(args.prepared, range(args.images))).permute(0, 3, 1, 2)
    return from_uint8(images), groups_of(photographs_of(args.prepared, args.images))


@torch.inference_mode()
def table(tokenizer: MSDD, images: Tensor) -> list[Tensor]:
    """For each scale (3, N): the PSNR of each image by COLUMNS."""
    ids = torch.arange(len(images)).split(BATCH)
    parts = [list(rows(tokenizer, images[i], i.tolist())) for i in ids]
    return [torch.cat(scale, dim=1) for scale in zip(*parts, strict=True)]


def rows(tokenizer: MSDD, images: Tensor, ids: list[int]) -> Iterator[Tensor]:
    estimates, _ = trace(tokenizer, images, ids, seed=0)
    for scale, estimate in zip(tokenizer.config.flow, estimates, strict=True):
        alone, last = from_truth(tokenizer, images, ids, scale)
        pairs = [(estimate, downsample(images, scale)), (alone, downsample(images, scale))]
        yield torch.stack([psnr(*levels(a, b)) for a, b in [*pairs, (last, images)]])


def from_truth(
    tokenizer: MSDD, images: Tensor, ids: list[int], scale: Scale
) -> tuple[Tensor, Tensor]:
    """The clean image of a scale that begins from the original, and where its chain ends."""
    scales, normals = tokenizer.config.flow, tokenizer.normals(ids, 0)
    latents = tokens_of(tokenizer.encode(images), tokenizer.config)
    start = start_state(downsample(images, scale), normals[scale.index], scale)

    def velocity(x: Tensor, t: float, at: Scale, conditional: bool) -> Tensor:
        return tokenizer.decoders[at.index].velocity(x, t, at, latents if conditional else None)

    rest = slice(scale.index, None)
    settings = tokenizer.steps[rest], tokenizer.guidance[rest], tokenizer.correlation
    states = chain(velocity, start, scales[rest], normals[scale.index + 1 :], *settings)
    return clean_estimate(states[0], normals[scale.index], scale), states[-1]


def levels(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in [0, 1], where a decode is clipped."""
    return (a.clamp(-1, 1) + 1) / 2, (b + 1) / 2


if __name__ == "__main__":
    main()
