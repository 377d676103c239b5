"""The worst, the median and the best image by squared error: their names, and pictures of them."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msdd.data.pixels import as_uint8
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.passes import Pass
from msdd.evaluate.sources import Batch, Source, deal
from msdd.files import atomic, unwritten
from msdd.metrics.intervals import psnr
from msdd.pipeline.progress import Progress


def places(accumulator: Accumulator) -> dict[str, int]:
    """The places of the `worst`, the `median` and the `best` image in the set."""
    order = (
        accumulator.sorted_values()[accumulator.errors]
        .argsort(descending=True, stable=True)
        .tolist()
    )
    return {"worst": order[0], "median": order[len(order) // 2], "best": order[-1]}


def describe(accumulator: Accumulator, names: Sequence[str]) -> dict[str, dict[str, object]]:
    """Name and PSNR of each; the PSNR is None for an image that is reproduced exactly."""
    values = psnr(accumulator.sorted_values()[accumulator.errors].numpy())
    return {
        word: {"name": names[i], "psnr": float(values[i]) if np.isfinite(values[i]) else None}
        for word, i in places(accumulator).items()
    }


def save(part: Pass, accumulator: Accumulator, batch: int | None, folder: Path) -> None:
    """Each as a PNG file named for what it is, its original on the left, unless they are there."""
    label = f"pictures of {part.name}"
    print(f"{label}: {folder}", file=sys.stderr)
    files = {word: folder / f"{word}.png" for word in places(accumulator)}
    if all(path.is_file() for path in files.values()):
        return
    wanted = sorted(set(places(accumulator).values()))
    with unwritten(f"{label} are missing"):
        for i, originals, made in reconstruct_again(part.source, wanted, batch, label):
            both = torch.cat([originals.cpu(), as_uint8(made).cpu()], 2).permute(1, 2, 0).numpy()
            for word in (word for word, place in places(accumulator).items() if place == i):
                with atomic(files[word]) as temporary:
                    Image.fromarray(both).save(temporary, "PNG")


def reconstruct_again(
    source: Source, wanted: Sequence[int], batch: int | None, label: str
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The images at these places, original and reconstruction (3, H, W).

    They are reconstructed once more, in the batches in which they were measured.
    """
    ranges = [part for part in deal(source, batch) if set(part) & set(wanted)]
    with Progress(label, len(ranges), unit="batches") as progress:
        for done, batches in enumerate(source.batches(iter(ranges)), start=1):
            for one in batches:
                yield from images_at(one, wanted)
            progress.update(done)


def images_at(batch: Batch, wanted: Sequence[int]) -> Iterator[tuple[int, Tensor, Tensor]]:
    rows = zip(batch.ids, batch.originals, batch.reconstructions, strict=True)
    yield from ((i, original, made) for i, original, made in rows if i in wanted)
