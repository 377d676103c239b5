"""A model folder: `model.safetensors`, and `config.json` with the kind and shape of the model."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import atomic, read_json, write_json
from msdd.model.autoencoder import Autoencoder, decoder_of
from msdd.model.config import ModelConfig
from msdd.weights import official
from msdd.weights.strict import differences
from msdd.weights.unfilled import unfilled

Module = TypeVar("Module", bound=nn.Module)

ENCODER = "encoder."  # before the names of its tensors
NOISE = ("drawn", "zero")  # what decoding begins with
KINDS = ("teacher", "scale", "student")  # encoder and decoder; one decoder; encoder and S decoders


def save(
    folder: Path, kind: str, config: ModelConfig, state: dict[str, Tensor], noise: str = "drawn"
) -> None:
    """Write the two files of a model folder, each as a whole; `config.json` last.

    kind:  one of KINDS. state: the tensors by name. noise: one of NOISE, as in training.
    """
    content = serialise({name: value.contiguous() for name, value in state.items()})
    with atomic(folder / "model.safetensors") as temporary:
        temporary.write_bytes(content)
    trained = {} if noise == "drawn" else {"noise": noise}  # older folders tell nothing of it
    write_json(folder / "config.json", {"kind": kind, "model": asdict(config)} | trained)


def read_config(folder: Path) -> tuple[str, ModelConfig]:
    """Kind and shape of the model in `folder`.

    Raises MsddError if there is no model, or one that another version of msdd has written.
    """
    path = Path(folder) / "config.json"
    if not path.exists():
        raise MsddError(f"{folder}: no model here (config.json is missing)")
    values = read_json(path)
    known = isinstance(values, dict) and values.get("kind") in KINDS
    if not known or "model" not in values:
        raise MsddError(f"{path}: not the configuration of a model of this project")
    return values["kind"], ModelConfig.from_json(values["model"], str(path))


def read_noise(folder: Path) -> str:
    """One of NOISE: with what the model in `folder` was trained. MsddError for something else."""
    path = Path(folder) / "config.json"
    noise = read_json(path).get("noise", "drawn")
    if noise not in NOISE:
        raise MsddError(f"{path}: noise is {noise!r}; it should be {' or '.join(NOISE)}")
    return noise


def read(folder: Path) -> dict[str, Tensor]:
    """The tensors of `folder` by name, on the CPU. Raises MsddError if they cannot be read."""
    return official.read(Path(folder) / "model.safetensors")


def decoders_of(config: ModelConfig) -> nn.ModuleDict:
    return nn.ModuleDict({"decoders": nn.ModuleList(map(decoder_of, [config] * config.scales))})


def sized(make: Callable[[], Module], state: dict[str, Tensor], folder: Path) -> Module:
    """What `make` makes, once its tensors are known to be those of `state`: `config.json` could
    ask for more memory than there is. MsddError if they are not, or if no network has such sizes.
    """
    try:
        with unfilled():
            wanted = make().state_dict()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, AssertionError) as e:
        reason = " ".join(str(e).split())[:200] or type(e).__name__
        raise MsddError(
            f"{Path(folder) / 'config.json'}: no network has such sizes ({reason})"
        ) from e
    if mistakes := differences(wanted, state):
        told = f"{Path(folder) / 'model.safetensors'}: not of the sizes in config.json"
        raise MsddError(f"{told}: {'; '.join(mistakes)}")
    with torch.random.fork_rng([]):  # its first weights are replaced: nobody's numbers are drawn
        return make().float()


def fill(module: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Load the weights `state` of `folder` strictly. Raises MsddError naming what does not fit."""
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        reason = f"{reason[:300]}{' ...' if len(reason) > 300 else ''}"
        raise MsddError(f"{Path(folder) / 'model.safetensors'}: {reason}") from error


def load_teacher(folder: Path) -> Autoencoder:
    """The model of a stage-1 folder on the CPU, frozen and in evaluation mode.

    Raises MsddError if the folder holds no stage-1 model, or one that does not fit.
    """
    kind, config = read_config(folder)
    if kind != "teacher":
        raise MsddError(f"{folder}: holds a {kind}, not a stage-1 model")
    state = read(folder)
    state = of_decoders(state) if config.frozen else state
    model = sized(lambda: Autoencoder(config), state, folder)
    fill(model, state, folder)
    return model.eval().requires_grad_(False)


def of_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model's encoder."""
    return {name: value for name, value in state.items() if name.startswith(ENCODER)}


def of_decoders(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model without its encoder's."""
    return {name: value for name, value in state.items() if not name.startswith(ENCODER)}


def load_decoders(folder: Path) -> nn.ModuleList:
    """The decoders of a student's folder, one for each scale, frozen.

    Raises MsddError if the folder holds no student, or one that does not fit.
    """
    kind, config = read_config(folder)
    if kind != "student":
        raise MsddError(f"{folder}: holds a {kind}, not a student")
    state = of_decoders(read(folder))
    student = sized(lambda: decoders_of(config), state, folder)
    fill(student, state, folder)
    return student["decoders"].eval().requires_grad_(False)
