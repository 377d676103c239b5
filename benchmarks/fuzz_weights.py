"""Weights, model folders, checkpoints and latents of tiny networks, for `fuzz_targets`."""

import io
import json
import os
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save

from msdd.evaluate import checkpoint as evaluations
from msdd.evaluate import protocols
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.networks import Networks
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.params import presets
from msdd.params.load import load as load_params
from msdd.params.sections import Optimisation
from msdd.tokenizers import folders
from msdd.train import checkpoint as trainings
from msdd.train.state import State
from msdd.weights import model_folder, official
from msdd.weights.metadata import pack

CONFIG = {
    "resolution": 16,
    "scales": 2,
    "patch": 4,
    "encoder_patch": 4,
    "width": 32,
    "depth": 1,
    "heads": 4,
    "latents": 8,
    "latent_dim": 4,
    "positions": "grid",
}


@cache
def network() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(ModelConfig(**CONFIG))


def tensors() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.zeros(2, dtype=torch.int64)}


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def pickles() -> list[bytes]:
    more = {"ema": tensors(), "epoch": 3, "lr": [0.1]}
    return [pickled(tensors()), pickled(more), pickled({"model": {"sd": tensors()}})]


def read_weights(path: Path) -> None:
    """As whoever opens them does: numbers are copied."""
    for value in official.read(path).values():
        value.float().contiguous()


def index_files() -> list[bytes]:
    names = dict.fromkeys(tensors(), "one.safetensors")
    return [json.dumps({"metadata": {"total_size": 64}, "weight_map": names}).encode()]


def read_index(path: Path) -> None:
    path.with_name("one.safetensors").write_bytes(save(tensors()))
    read_weights(path)


def model_configs() -> list[bytes]:
    return [json.dumps({"kind": "teacher", "model": CONFIG}).encode()]


def read_model(path: Path) -> None:
    path.with_name("model.safetensors").write_bytes(weights_of_network())
    model_folder.load_teacher(path.parent)


@cache
def weights_of_network() -> bytes:
    return save(network().state_dict())


OPTIMISATION = {"batch": 4, "images": 8, "learning_rate": 1e-3}


def training_state() -> State:
    given = {name: one.default for name, one in Optimisation.model_fields.items()}
    wanted = load_params(presets.find("tiny", Path("."))).stage1.model_dump()
    chosen = {name: wanted[name] for name in given if name in wanted}
    return State(torch.nn.Linear(2, 2), Optimisation(**chosen))


def training_checkpoints() -> list[bytes]:
    state = training_state()
    state.network(torch.ones(1, 2)).sum().backward()
    state.optimiser.step()
    state.curve, state.sums = [{"images": 4, "loss": 1.0}], {"loss": torch.ones(())}
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"seed-{os.getpid()}.pt"
    state.save(path, "key")
    content = path.read_bytes()
    trainings.remove(path)
    return [content]


def read_training_checkpoint(path: Path) -> None:
    training_state().resume(path, "key")


@cache
def accumulator() -> Accumulator:
    wanted = protocols.load(["primary"])["primary"].model_copy(update={"lpips": None})
    chosen = [wanted.with_features("none")]
    return Accumulator({"primary": chosen[0]}, Networks(chosen, torch.device("cpu")))


@cache
def evaluation_checkpoints() -> list[bytes]:
    state = {"ids": torch.arange(3), "pixels": torch.full((3,), 9)}
    state |= {f"values/{key}": torch.rand(3).double() for key in accumulator().values}
    return [save(state, pack({"key": "k" * 64, "features": "[]"}))]


def read_evaluation_checkpoint(path: Path) -> None:
    import copy

    found = evaluations.Checkpoint(path.parents[1], "k" * 64)
    found.resume(copy.deepcopy(accumulator()))


def latents() -> list[bytes]:
    about = pack({"files": '{"a": "b"}', "sides": "[24, 24]", "cut": "native"})
    return [save({"latents": torch.rand(4, 8, 8)}, about), save({"latents": torch.rand(4, 2, 6)})]


class Small:
    """A tokenizer as far as `Latents` asks it."""

    resolution, multiple, codes, files, name = 16, 1, 0, {"a": "c"}, "small"

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(images), 4, 8, 8)


def read_latents(path: Path) -> None:
    stored = folders.Latents(Small()).read(path)
    stored.cut(torch.zeros(3, 24, 24)).contiguous()
