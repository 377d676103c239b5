"""What can be evaluated by name: the tokenizers of the catalogue, model folders, any callable."""

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from msdd.device import arithmetic
from msdd.errors import MsddError
from msdd.evaluate.sources import Reconstruct
from msdd.files import digest
from msdd.fingerprint import closure_digest
from msdd.folders import ids as noise_ids
from msdd.tokenizers.catalogue import tokenizer
from msdd.tokenizers.tokenizer import Tokenizer

RESOLUTION = 256  # of callables, which do not tell theirs


@dataclass(frozen=True)
class Subject:
    """A tokenizer as an evaluation sees it.

    about: what is told of it beside its figures, and what tells two of them apart
    resolution: side of the crops it is given
    """

    about: dict[str, object]
    resolution: int
    reconstruct: Reconstruct


@dataclass(frozen=True)
class Decoding:
    """How a tokenizer is run; None: as published."""

    seed: int = 0
    precision: str = "fp32"
    steps: int | None = None
    guidance: float | None = None


def opened(
    name: str,
    checkpoint: str | None,
    device: torch.device,
    decoding: Decoding,
    resolution: int | None = None,
    run_code: bool = False,
) -> Subject:
    """A tokenizer by its name: `module:callable`, or what `msdd.tokenizers.catalogue` knows.

    Raises MsddError if there is none, or if it does not take images of the resolution.
    """
    about = {"tokenizer": name, **vars(decoding)}
    if ":" in name:
        function = imported(name)
        about["code"] = digest(Path(sys.modules[name.partition(":")[0]].__file__))
        return Subject(about, resolution or RESOLUTION, called(function, device, decoding))
    found = tokenizer(
        name,
        checkpoint,
        device,
        steps=decoding.steps,
        guidance=decoding.guidance,
        run_code=run_code,
    )
    side = resolution or found.resolution
    found.check_sides(torch.empty(0, 3, side, side))
    about |= {"weights": dict(found.files), "description": found.describe()._asdict()}
    about["code"] = closure_digest(type(found).__module__)
    return Subject(about, side, decoded(found, device, decoding))


def imported(name: str) -> Callable[[Tensor], Tensor]:
    """The `callable` of `module:callable`; modules of the working directory come first."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MsddError(f"--tokenizer {name}: {error}") from error
    if not callable(found):
        raise MsddError(f"--tokenizer {name} is no function of images, but {type(found).__name__}")
    return found


def decoded(made: Tokenizer, device: torch.device, decoding: Decoding) -> Reconstruct:
    """The noise of an image depends on its name, as in `msdd reconstruct`."""

    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor:
        with arithmetic(decoding.precision, device):
            return made.reconstruct(images, noise_ids(names), decoding.seed).float()

    return reconstruct


def called(
    function: Callable[[Tensor], Tensor], device: torch.device, decoding: Decoding
) -> Reconstruct:
    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor:
        with arithmetic(decoding.precision, device):
            return function(images)

    return reconstruct
