"""What a training reads: crops, and the latents that the stage `latents` has stored of them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msdd.arrays import read_npy
from msdd.data.random_crops import RandomCrops, training_images
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.model.autoencoder import standardise
from msdd.model.config import FrozenEncoder, ModelConfig
from msdd.params.sections import Given
from msdd.pipeline import layout
from msdd.pipeline.task import Task
from msdd.weights import official
from msdd.weights.model_folder import ENCODER


class LatentCrops(Crops):
    """The crops to train on, with the latents of `folder`; they are never mirrored."""

    def __init__(self, prepared: Path, folder: Path, frozen: FrozenEncoder, resolution: int):
        """Raises MsddError if the latents are of other crops or not whole."""
        super().__init__(prepared, "train", resolution)
        self.frozen = frozen
        if read_json(folder / "manifest.json")["crops"] != self.digest:
            raise MsddError(
                f"{folder} has the latents of other crops than {prepared}: run `msdd latents` again"
            )
        self.stored = read_npy(folder / "latents.npy")
        if self.stored.shape != (len(self), *frozen.shape):
            raise MsddError(
                f"{folder}/latents.npy has {list(self.stored.shape)}, not the latents of "
                f"{len(self)} crops by {frozen}: run `msdd latents` again"
            )

    def latents(self, indices: np.ndarray) -> Tensor:
        """Standardised latents of the crops at `indices`: float32 (B, latents, latent_dim)."""
        raw = torch.from_numpy(np.asarray(self.stored[indices], np.float32))
        return standardise(raw, self.frozen)


def training_set(task: Task, config: ModelConfig, root: Path) -> Crops | RandomCrops:
    """What the model of this configuration is trained on. Raises MsddError if it is not there, or
    if the stored latents are not those that the model was trained on."""
    prepared, resolution = root / layout.prepared(), config.resolution
    if config.frozen is None:
        return training_images(prepared, task.seed, task.cpu_threads, resolution)
    stored = frozen_encoder(task, root)
    if stored is None:
        raise MsddError(
            f"{layout.stage1(task.model)} decodes latents of {config.frozen.tokenizer}, and "
            "stage1.encoder names no tokenizer: name it, or train the model again"
        )
    if stored != config.frozen:
        raise MsddError(
            f"{root / layout.latents(task.latents)} has latents of {stored} with other weights or "
            f"statistics than {config.frozen}, which {task.model} decodes: train it again"
        )
    return LatentCrops(prepared, root / layout.latents(task.latents), stored, resolution)


def frozen_encoder(task: Task, root: Path) -> FrozenEncoder | None:
    """The tokenizer whose latents are decoded; None for an encoder of this project.

    Raises MsddError for latents that are missing, of another tokenizer, file or size than the
    params say.
    """
    if task.latents is None:
        return None
    folder = root / layout.latents(task.latents)
    if not (folder / "manifest.json").is_file():
        raise MsddError(f"no latents in {folder}: run `msdd latents {task.latents}`")
    frozen = FrozenEncoder.from_json(read_json(folder / "manifest.json")["encoder"])
    check_source(frozen, task.stage1.encoder, str(folder))
    check_size(frozen, task.networks.latents, task.networks.latent_dim, task.model)
    return frozen


def check_source(frozen: FrozenEncoder, given: Given, where: str) -> None:
    """MsddError unless the tokenizer and its file are those of the params."""
    if frozen.tokenizer not in (given.tokenizer, Path(given.tokenizer).name):
        raise MsddError(
            f"{where} has latents of {frozen.tokenizer}, and stage1.encoder.tokenizer is "
            f"{given.tokenizer}: run `msdd latents` again"
        )
    if given.sha256 and frozen.sha256 != given.sha256:
        raise MsddError(
            f"stage1.encoder.sha256 is {given.sha256}, but {frozen.file} of "
            f"{frozen.tokenizer} has {frozen.sha256}"
        )


def check_size(frozen: FrozenEncoder, latents: int, dim: int, row: str) -> None:
    """MsddError unless the model has a token for each position of a latent."""
    channels, height, width = frozen.shape
    if (latents, dim) != (height * width, channels):
        raise MsddError(
            f"models.{row}: latents is {latents} and latent_dim {dim}, but {frozen.tokenizer} "
            f"makes {height * width} of {channels} of a crop; set them so"
        )


def encoder_tensors(task: Task, root: Path) -> dict[str, Tensor]:
    """The weights of another tokenizer's encoder, `encoder.<name>`; {} for one of this project."""
    if task.latents is None:
        return {}
    state = official.tensors(root / layout.latents(task.latents) / "encoder.safetensors")
    return {f"{ENCODER}{name}": value for name, value in state.items()}
