"""Training on photographs, of which every step cuts new crops."""

import shutil

import pytest
from interruption import assert_equal_to_the_bit, interrupted

from msdd.commands.stages import run_stage
from msdd.train import stage1


@pytest.fixture
def params(tiny_params):
    """The embedded photographs, reduced to 32 px; a crop has 16."""
    changes = {"store": "photographs", "store_side": 32, "crop": "adm", "crop_side": (0.8, 1.0)}
    changes |= {"train_crops": None, "held_out_crops": None}
    data = tiny_params.data.model_copy(update=changes)
    training = tiny_params.stage1.model_copy(
        update={"images": 192, "checkpoint_every": 64, "log_every": 64, "batch": 32}
    )
    return tiny_params.model_copy(update={"data": data, "stage1": training})


def test_an_interrupted_training_sees_the_same_crops(params, tmp_path, states, monkeypatch):
    run_stage(params, "prepare", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    run_stage(params, "train", tmp_path / "whole", model="msdd")
    with interrupted(monkeypatch, stage1, step=4):
        run_stage(params, "train", tmp_path / "torn", model="msdd")
    run_stage(params, "train", tmp_path / "torn", model="msdd")
    whole, _, torn = states
    assert whole.images == 192
    assert_equal_to_the_bit(whole, torn)
