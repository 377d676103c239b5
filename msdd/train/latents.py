"""The stage `latents`: another tokenizer encodes the crops to train on, once.

Its encoder stays as it is, so that a training has only to read what it would compute each time.
Crops are encoded as they are, not mirrored.
"""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as serialise
from torch import Tensor

from msdd.data.pixels import check_finite, from_uint8
from msdd.data.shards import Crops
from msdd.device import prepare_device
from msdd.errors import MsddError
from msdd.files import atomic, write_json
from msdd.model.config import FrozenEncoder
from msdd.params.sections import Given
from msdd.pipeline import layout
from msdd.pipeline.lock import hold
from msdd.pipeline.progress import Progress
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task
from msdd.tokenizers import elsewhere, frozen
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.tokenizer import Tokenizer
from msdd.train.stored_latents import check_size, check_source

BATCH = 64
LARGEST = 65504.0  # of float16, in which latents are stored


def run(task: Task, root: Path = Path(".")) -> dict[str, int]:
    """Write `data/latents/<name>` by the tokenizer of `stage1.encoder`; returns what it has.

    `latents.npy` has the latents of every crop to train on, float16 (N, channels, h, w), as the
    tokenizer makes them; `encoder.safetensors` the weights of its encoder; `manifest.json` what
    they are of, and the mean and deviation of each channel. Raises MsddError for a tokenizer that
    cannot be had, has other weights than the params say, or makes latents of another size.
    """
    device, folder = prepare_device(task.cpu_threads), layout.latents(task.latents)
    made = [folder / name for name in layout.LATENT_FILES]
    with hold(root / layout.checkpoint(folder) / "lock"), recorded(task, folder, made, root):
        crops = Crops(root / layout.prepared(), "train", task.data.resolution)
        given = task.stage1.encoder
        encoder = open_encoder(given, root, device)
        shape = tuple(encode(encoder, crops, np.zeros(1, int)).shape[1:])
        name = frozen.shown(given.tokenizer)
        settings, file = frozen.settings_of(encoder, name), frozen.file_of(encoder)
        about = FrozenEncoder(name, settings, *file, shape, (), ())
        check_source(about, given, "this machine")
        check_size(about, task.networks.latents, task.networks.latent_dim, task.model)
        state = frozen.encoder_half(encoder, given.tokenizer).state_dict()
        with atomic(root / folder / "encoder.safetensors") as temporary:
            temporary.write_bytes(serialise({n: v.cpu().contiguous() for n, v in state.items()}))
        mean, std = write_latents(encoder, crops, root / folder / "latents.npy", shape)
        about = asdict(replace(about, mean=mean, std=std))
        write_json(root / folder / "manifest.json", {"crops": crops.digest, "encoder": about})
    return {"crops": len(crops), "channels": shape[0], "positions": shape[1] * shape[2]}


def open_encoder(given: Given, root: Path, device: torch.device) -> Tokenizer:
    """The tokenizer that the params name; paths are relative to `root`."""
    name, checkpoint = elsewhere.locate(given, root)
    made = load(name, checkpoint, device)
    if type(made) not in frozen.ENCODERS:
        frozen.encoder_half(made, given.tokenizer)  # raises, before anything is encoded
    return made


def encode(encoder: Tokenizer, crops: Crops, indices: np.ndarray) -> Tensor:
    """Latents (B, channels, h, w) of the crops at these places, on the CPU."""
    latents = encoder.encode(from_uint8(crops.batch(indices)).to(encoder.device)).cpu()
    if latents.ndim != 4:
        raise MsddError(f"latents of {list(latents.shape[1:])} are no grid of channels")
    return latents


def write_latents(
    encoder: Tokenizer, crops: Crops, path: Path, shape: tuple[int, ...]
) -> tuple[list[float], list[float]]:
    """Write the latents of all crops; returns mean and deviation of each channel.

    Plain writes, not a memory map: on a full disk a write raises OSError, a map kills the process.
    """
    total = torch.zeros(2, shape[0], dtype=torch.float64)
    with (
        atomic(path) as temporary,
        open(temporary, "wb") as file,
        Progress("latents", len(crops), "crops") as progress,
    ):
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(crops), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for done, latents in batches(encoder, crops):
            file.write(latents.half().numpy().tobytes())
            wide = latents.double()
            total += torch.stack([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3))])
            progress.update(done)
    return statistics(total / (len(crops) * shape[1] * shape[2]))


def batches(encoder: Tokenizer, crops: Crops) -> Iterator[tuple[int, Tensor]]:
    """Latents batch by batch, and how many crops are done after each."""
    for start in range(0, len(crops), BATCH):
        indices = np.arange(start, min(start + BATCH, len(crops)))
        latents = encode(encoder, crops, indices)
        check_finite(latents, [f"crop {index}" for index in indices])
        yield start + len(indices), latents.clamp(-LARGEST, LARGEST)


def statistics(moments: Tensor) -> tuple[list[float], list[float]]:
    """Mean and deviation from the means (2, channels) of values and squares.

    A channel that never changes has deviation 1, so that nothing is divided by 0.
    """
    mean, square = moments
    std = (square - mean.square()).clamp(min=0).sqrt()
    return mean.tolist(), torch.where(std > 0, std, 1.0).tolist()
