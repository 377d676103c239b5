"""Pictures of an evaluation: samples, extremes, and the coarse-to-fine pyramid of a decoder."""

from pathlib import Path

import numpy as np
import torch

from msdd.arrays import read_npy
from msdd.data.pixels import from_uint8, to_uint8
from msdd.device import arithmetic
from msdd.evaluate.prepared import SAMPLES, Prepared
from msdd.evaluate.trace import trace
from msdd.files import atomic
from msdd.pipeline import layout
from msdd.pipeline.task import Task


def save(path: Path, pictures: np.ndarray) -> None:
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.save(file, pictures)


def follow(source: Prepared, task: Task, path: Path) -> list[dict[str, float]]:
    """Save the clean estimates of a few images scale by scale; what their jumps added to them."""
    tokenizer = source.tokenizer
    ids = list(range(min(SAMPLES, len(source.names))))
    images = from_uint8(source.crops.batch(np.array(ids))).to(source.device)
    with arithmetic(task.evaluate.precision, images.device):
        estimates, jumps = trace(tokenizer, images, ids, task.seed)
    pictures = {
        f"scale{k}": to_uint8(x).permute(0, 2, 3, 1).cpu().numpy() for k, x in enumerate(estimates)
    }
    with atomic(layout.pyramid(path)) as temporary, open(temporary, "wb") as file:
        np.savez(file, **pictures)
    return jumps


def beside_originals(source: Prepared, samples: Path) -> np.ndarray:
    """Four originals above what became of them, and four more: uint8 (16, R, R, 3), or fewer."""
    made = read_npy(samples)[:8]
    originals = source.crops.batch(np.arange(len(made))).permute(0, 2, 3, 1).numpy()
    return np.concatenate([originals[:4], made[:4], originals[4:], made[4:]])


def of_extremes(extremes: dict[str, dict], source: Prepared) -> np.ndarray:
    """The worst, the median and the best image, uint8 (6, R, R, 3): first the originals.

    Decoded once more, by themselves, which may change a level.
    """
    ids = [int(image["name"]) for image in extremes.values()]
    originals = source.crops.batch(np.array(ids)).to(source.device)
    both = torch.cat([originals, to_uint8(source.reconstruct(originals, ids))])
    return both.permute(0, 2, 3, 1).cpu().numpy()
