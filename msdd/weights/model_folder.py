"""A model folder: `model.safetensors`, and `config.json` with the kind and shape of the model."""

from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save as serialise
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import atomic, read_json, write_json
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.weights import official

KINDS = ("teacher", "scale", "student")  # encoder and decoder; one decoder; encoder and S decoders


def save(folder: Path, kind: str, config: ModelConfig, state: dict[str, Tensor]) -> None:
    """Write the two files of a model folder, each as a whole; `config.json` last.

    kind:  one of KINDS. state: the tensors by name.
    """
    content = serialise({name: value.contiguous() for name, value in state.items()})
    with atomic(folder / "model.safetensors") as temporary:
        temporary.write_bytes(content)
    write_json(folder / "config.json", {"kind": kind, "model": asdict(config)})


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


def read(folder: Path) -> dict[str, Tensor]:
    """The tensors of `folder` by name, on the CPU. Raises MsddError if they cannot be read."""
    return official.read(Path(folder) / "model.safetensors")


def load_into(module: nn.Module, folder: Path) -> None:
    """Load the weights of `folder` strictly. Raises MsddError naming what does not fit."""
    state = read(folder)
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
    model = Autoencoder(config)
    load_into(model, folder)
    return model.eval().requires_grad_(False)
