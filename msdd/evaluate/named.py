"""Opens a tokenizer or an object of the user's by name, for `--tokenizer`."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from msdd.device import arithmetic, seed_torch
from msdd.evaluate.latent_sums import Made
from msdd.evaluate.sources import Reconstruct, Subject, encoded_by
from msdd.files import digest
from msdd.pipeline.fingerprint import closure_digest
from msdd.seeds import seed_of
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.folders import ids as noise_ids
from msdd.tokenizers.own import Own, open_own
from msdd.tokenizers.tokenizer import Tokenizer
from msdd.tokenizers.user_code import is_object, is_own

COMMAND = {"msdd", "__main__", "__mp_main__"}  # what runs here, and how it was started


@dataclass(frozen=True)
class Decoding:
    """How a tokenizer is run; None: as published."""

    seed: int = 0
    precision: str = "fp32"
    steps: int | None = None
    guidance: float | None = None


def open_subject(
    name: str,
    checkpoint: str | None,
    device: torch.device,
    decoding: Decoding,
    resolution: int | None = None,
    run_code: bool = False,
) -> Subject:
    """A tokenizer by its name: `module:object`, or what `msdd.tokenizers.catalogue` knows.

    Raises MsddError if there is none, or if it does not take images of the resolution.
    """
    about = {"tokenizer": name, **vars(decoding)}
    if is_object(name):
        own = open_own(name, device)
        about["code"] = loaded_digest()
        return Subject(about, resolution or own.resolution, through_own(own, device, decoding))
    system = load(
        name,
        checkpoint,
        device,
        steps=decoding.steps,
        guidance=decoding.guidance,
        run_code=run_code,
    )
    side = resolution or system.resolution
    system.check_sides(side, side)
    about |= {"weights": dict(system.files), "description": system.describe()._asdict()}
    about["code"] = closure_digest(type(system).__module__)
    return Subject(about, side, through_tokenizer(system, device, decoding))


def loaded_digest() -> str:
    """SHA-256 over the files of all loaded modules that are neither Python's, nor installed, nor of
    this project: what a callable runs. What it imports only when it is called is not seen."""
    sha = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if name.partition(".")[0] not in COMMAND and is_own(file):
            sha.update(f"{name} {digest(file)}\n".encode())
    return sha.hexdigest()


def through_tokenizer(system: Tokenizer, device: torch.device, decoding: Decoding) -> Reconstruct:
    """The noise of an image depends on its name, as in `msdd reconstruct`."""

    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor | Made:
        height, width = images.shape[-2:]
        with arithmetic(decoding.precision, device):
            latents = system.encode(images)
            decoded = system.decode(latents, noise_ids(names), decoding.seed).float()
        cut = decoded[..., :height, :width]  # from what one of any size has continued
        return Made(cut, encoded_by(system, latents))

    return reconstruct


def through_own(own: Own, device: torch.device, decoding: Decoding) -> Reconstruct:
    """Torch's random numbers depend on the seed and on the batch, which its first image names."""

    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor | Made:
        seed = seed_of("reconstruct", decoding.seed, names[0])
        with seed_torch(seed, device), arithmetic(decoding.precision, device):
            latents, made = own.code(images)
        return made if latents is None else Made(made, encoded_by(own, latents))

    return reconstruct
