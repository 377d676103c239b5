"""Prefixes that trainings and bigger models leave on names are taken off, and it is said."""

import pytest
import torch
from safetensors.torch import save_file

from msdd.weights import official

STATE = {"encoder.a.weight": torch.ones(2), "decoder.model.b": torch.zeros(3)}
PREFIXES = ("_orig_mod.", "module.", "first_stage_model.", "vae.", "model.", "ema.")
NESTED = ("module._orig_mod.", "_orig_mod.module.", "module.first_stage_model._orig_mod.")


def with_prefix(prefix: str, more: dict | None = None) -> dict:
    return {f"{prefix}{name}": value for name, value in STATE.items()} | (more or {})


def read(tmp_path, state: dict) -> dict:
    save_file(state, tmp_path / "x.safetensors")
    return official.read(tmp_path / "x.safetensors")


@pytest.mark.parametrize("prefix", PREFIXES + NESTED)
def test_a_prefix_of_all_names_is_taken_off(tmp_path, capsys, prefix):
    assert read(tmp_path, with_prefix(prefix)).keys() == STATE.keys()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"msdd: {tmp_path}/x.safetensors: ")
    assert all(f"{part}." in line for part in prefix.split(".")[:-1])


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        {"module.encoder.a.weight": torch.ones(2), "decoder.model.b": torch.zeros(3)},
        {"encoder._orig_mod.a": torch.ones(1), "encoder.a": torch.zeros(1)},
        with_prefix("", {"vae.encoder.a": torch.ones(1)}),
    ],
    ids=["none", "some", "both", "beside"],
)
def test_other_names_stay_and_nothing_is_said(tmp_path, capsys, state):
    assert read(tmp_path, state).keys() == state.keys()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("part", ["first_stage_model.", "vae."])
@pytest.mark.parametrize("outer", ["", "module.", "_orig_mod."])
def test_of_a_bigger_model_the_tokenizer_is_taken(tmp_path, capsys, part, outer):
    more = {f"{outer}{name}": torch.ones(1) for name in ("model.diffusion_model.a", "unet.b")}
    assert read(tmp_path, with_prefix(outer + part, more)).keys() == STATE.keys()
    assert f"of 4 tensors the 2 of {part} are taken" in capsys.readouterr().err


def test_what_only_a_training_needs_is_left_out(tmp_path, capsys):
    beside = {"loss.logvar": torch.ones(1), "model_ema.decay": torch.ones(1)}
    assert read(tmp_path, with_prefix("", beside)).keys() == STATE.keys()
    assert "loss. and model_ema. of the training is left out" in capsys.readouterr().err
    assert read(tmp_path, with_prefix("model.", beside)).keys() == STATE.keys()
    averaged = with_prefix("module.", {"n_averaged": torch.tensor(3)})  # AveragedModel of torch
    assert read(tmp_path, averaged).keys() == STATE.keys()


@pytest.mark.parametrize("part", ["encoder", "decoder.model"])
def test_wrappers_around_a_part_are_taken_off(tmp_path, part):
    wrapped = {name.replace(part, f"{part}._orig_mod"): value for name, value in STATE.items()}
    assert read(tmp_path, wrapped).keys() == STATE.keys()
