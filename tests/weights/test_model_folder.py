"""Model folders that other versions of msdd have written: they load, or say what to do."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from msdd.errors import MsddError
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.weights.model_folder import load_teacher, read_config

# What the first versions wrote: without the networks of SSDD, and T always times 1000.
FIRST = {
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


def folder_of(path: Path, values: dict, kind: str = "teacher") -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"kind": kind, "model": values}))
    return path


def test_a_folder_of_the_first_versions_loads(tmp_path):
    old = folder_of(tmp_path / "old", FIRST)
    model = Autoencoder(ModelConfig(**FIRST))
    save_file(model.state_dict(), old / "model.safetensors")
    assert read_config(old) == ("teacher", ModelConfig(**FIRST))
    loaded = load_teacher(old)
    assert loaded.config.time_scale == 1000 and not loaded.training
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(loaded.encoder(images), model.encoder(images))


@pytest.mark.parametrize("change", [{"registers": 8}, {"width": None}, {"end_levels": [0.9, 0.1]}])
def test_another_configuration_says_what_to_do(tmp_path, change):
    values = {key: value for key, value in (FIRST | change).items() if value is not None}
    other = folder_of(tmp_path / "other", values)
    with pytest.raises(MsddError) as error:
        load_teacher(other)
    line = str(error.value)
    assert line.startswith(f"{other}/config.json: not a configuration of this version of msdd (")
    assert next(iter(change)) in line and "train the model again" in line and "\n" not in line


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(MsddError, match="there is no file .*/empty/model.safetensors"):
        load_teacher(folder_of(tmp_path / "empty", FIRST))
