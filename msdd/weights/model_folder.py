"""A model folder: `config.json` says what stands in `model.safetensors`."""

from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import atomic, read_json, write_json
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.weights import model_folder

KINDS = ("teacher", "scale", "student")  # encoder and decoder; one decoder; encoder and S decoders


def save(folder: Path, kind: str, config: ModelConfig, state: dict[str, Tensor]) -> None:
    """Write a model folder's two files, each as a whole; `config.json` last."""
    content = serialise({name: value.contiguous() for name, value in state.items()})
    with atomic(folder / "model.safetensors") as temporary:
        temporary.write_bytes(content)
    write_json(folder / "config.json", {"kind": kind, "model": asdict(config)})


def read_config(folder: Path) -> tuple[str, ModelConfig]:
    """Kind and shape of the model in `folder`. Raises MsddError if there is none."""
    path = Path(folder) / "config.json"
    if not path.exists():
        raise MsddError(f"{folder}: no model here (config.json is missing)")
    values = read_json(path)
    if values.get("kind") not in KINDS or "model" not in values:
        raise MsddError(f"{path}: not the configuration of a model of this project")
    return values["kind"], ModelConfig.from_json(values["model"], str(path))


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises MsddError if it is none."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise MsddError(f"{path}: cannot be read as weights ({error})") from error


def load_into(module: nn.Module, folder: Path) -> None:
    """Load the weights of `folder` strictly. Raises MsddError naming what does not fit."""
    path = Path(folder) / "model.safetensors"
    state = read(path)
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise MsddError(f"{path}: {told[:300]}{' ...' if len(told) > 300 else ''}") from error


def load_teacher(folder: Path) -> Autoencoder:
    """The frozen EMA weights of a stage-1 folder, in evaluation mode."""
    kind, config = model_folder.read_config(folder)
    if kind != "teacher":
        raise MsddError(f"{folder}: holds a {kind}, not a stage-1 model")
    model = Autoencoder(config)
    model_folder.load_into(model, folder)
    return model.eval().requires_grad_(False)
