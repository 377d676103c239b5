"""Opens a tokenizer or a callable by name, for `--tokenizer`."""

import hashlib
import importlib
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from msdd.device import arithmetic
from msdd.errors import MsddError
from msdd.evaluate.sources import Reconstruct, Subject
from msdd.files import digest
from msdd.pipeline.fingerprint import closure_digest
from msdd.seeds import seed_of
from msdd.tokenizers.catalogue import tokenizer
from msdd.tokenizers.folders import ids as noise_ids
from msdd.tokenizers.tokenizer import Tokenizer

RESOLUTION = 256  # of callables, which do not tell theirs
STANDARD_LIBRARY = sysconfig.get_path("stdlib")
FAR = 1.5  # beyond the range [-1, 1], but for decoders that overshoot


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
    """A tokenizer by its name: `module:callable`, or what `msdd.tokenizers.catalogue` knows.

    Raises MsddError if there is none, or if it does not take images of the resolution.
    """
    about = {"tokenizer": name, **vars(decoding)}
    if ":" in name:
        function = import_callable(name)
        about["code"] = loaded_digest()
        return Subject(
            about, resolution or RESOLUTION, through_callable(name, function, device, decoding)
        )
    system = tokenizer(
        name,
        checkpoint,
        device,
        steps=decoding.steps,
        guidance=decoding.guidance,
        run_code=run_code,
    )
    side = resolution or system.resolution
    system.check_sides(torch.empty(0, 3, side, side))
    about |= {"weights": dict(system.files), "description": system.describe()._asdict()}
    about["code"] = closure_digest(type(system).__module__)
    return Subject(about, side, through_tokenizer(system, device, decoding))


def import_callable(name: str) -> Callable[[Tensor], Tensor]:
    """The `callable` of `module:callable`; modules of the working directory come first."""
    module, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise MsddError(f"--tokenizer {name}: {error}") from error
    if not callable(function):
        raise MsddError(
            f"--tokenizer {name} is no function of images, but {type(function).__name__}"
        )
    if not getattr(sys.modules[module], "__file__", None):
        raise MsddError(f"--tokenizer {name}: module '{module}' has no file; name one of your own")
    return function


def loaded_digest() -> str:
    """SHA-256 over the files of all loaded modules that are neither Python's, nor installed, nor of
    this project: what a callable runs. What it imports only when it is called is not seen."""
    sha = hashlib.sha256()
    for name, module in sorted(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if name.partition(".")[0] not in ("msdd", "__main__") and is_own(file):
            sha.update(f"{name} {digest(file)}\n".encode())
    return sha.hexdigest()


def is_own(file: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(file.parts)
    return file.is_file() and not installed and not file.is_relative_to(STANDARD_LIBRARY)


def through_tokenizer(system: Tokenizer, device: torch.device, decoding: Decoding) -> Reconstruct:
    """The noise of an image depends on its name, as in `msdd reconstruct`."""

    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor:
        with arithmetic(decoding.precision, device):
            return system.reconstruct(images, noise_ids(names), decoding.seed).float()

    return reconstruct


def through_callable(
    name: str, function: Callable[[Tensor], Tensor], device: torch.device, decoding: Decoding
) -> Reconstruct:
    """Torch's random numbers depend on the seed and on the batch, which its first image names."""

    def reconstruct(images: Tensor, names: Sequence[str]) -> Tensor:
        seed = seed_of("reconstruct", decoding.seed, names[0])
        with seed_torch(seed, device), arithmetic(decoding.precision, device):
            made = function(images)
        if isinstance(made, Tensor) and made.is_floating_point() and (made.abs() > FAR).any():
            warn(f"{name} makes values far outside [-1, 1], the range that is expected: cut off")
        return made

    return reconstruct


@contextmanager
def seed_torch(seed: int, device: torch.device) -> Iterator[None]:
    """Set torch's random state for the block; afterwards it is as it was."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@cache
def warn(text: str) -> None:
    """Once a process."""
    print(f"msdd: warning: {text}", file=sys.stderr)
