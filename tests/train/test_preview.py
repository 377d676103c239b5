"""Pictures of trainings by step: what they show, that they come once, and that they cost no bit."""

import math
import shutil

import numpy as np
import pytest
from interruption import interrupted
from PIL import Image

from msdd.commands.stages import run_stage
from msdd.data.held_out import held_out
from msdd.pipeline import layout
from msdd.tracking import outbox
from msdd.tracking import run as tracking
from msdd.train import stage1
from msdd.train.preview import MOST, is_due

STUDENT = {"student": "msdd-1step"}
TRAININGS = {  # name of the stage, wildcards, folder of the result
    "train": ({"model": "msdd"}, layout.stage1("msdd")),
    "distil": (STUDENT | {"scale": 0}, layout.scale("msdd", "msdd-1step", 0)),
    "chain": ({"student": "finetuned"}, layout.assembled("msdd", "finetuned")),
}


@pytest.fixture
def tracked(monkeypatch):
    """Tracking is on, and nothing is delivered in the background."""
    monkeypatch.setenv("MSDD_TRACKING", "on")
    monkeypatch.setattr(tracking, "flush", lambda *_, **__: None)


def told(root):
    """The steps of curve and pictures in the order of the only run's events, and its folder."""
    (folder,) = outbox.folders(root)
    events, _ = outbox.events(folder)
    files = [event["file"] for event in events if "+step+" in event.get("file", "")]
    pictures = [int(name.split("+")[2]) for name in files if name.endswith(".png")]
    curve = [event["step"] for event in events if "loss" in event.get("metrics", {})]
    return curve, pictures, folder / "files/images"


def same(a, b):
    return all((a / file).read_bytes() == (b / file).read_bytes() for file in layout.TRAINING_FILES)


@pytest.mark.parametrize("stage", TRAININGS)
def test_start_and_each_point_of_the_curve_have_a_picture_and_no_bit_changes(
    tiny_params, work, tracked, monkeypatch, stage
):
    wildcards, folder = TRAININGS[stage]
    monkeypatch.setenv("MSDD_TRACKING", "off")
    run_stage(tiny_params, stage, work, **wildcards)
    shutil.move(work / folder, work / "plain")
    monkeypatch.setenv("MSDD_TRACKING", "on")
    run_stage(tiny_params, stage, work, **wildcards)
    curve, pictures, images = told(work)
    assert pictures == [0, *curve] and len(curve) > 1
    assert same(work / folder, work / "plain")
    picture = np.asarray(Image.open(images / f"progress+step+{curve[-1]}+timestamp+0+0.png"))
    originals = held_out(work / layout.prepared(), list(range(4))).astype(float)
    side = picture.shape[1] // 2  # of the cells of a grid of two by two, each two images high
    shown = picture[:side, :side].reshape(16, side // 16, 16, side // 16, 3).mean((1, 3))
    small = originals[0].reshape(16, len(originals[0]) // 16, 16, -1, 3).mean((1, 3))
    if stage != "distil":  # whose coarsest scale has fewer pixels
        assert np.abs(shown - small).max() <= 1


def test_pictures_of_an_interrupted_training_come_once_and_in_order(
    tiny_params, trained, work, tracked, monkeypatch
):
    folder = layout.stage1("msdd")
    shutil.rmtree(work / folder)
    with interrupted(monkeypatch, stage1, step=8):
        run_stage(tiny_params, "train", work, model="msdd")
    assert told(work)[1] == [0, 64, 128, 192]
    run_stage(tiny_params, "train", work, model="msdd")  # goes on from 128
    curve, pictures, _ = told(work)
    assert pictures == [0, *curve] and curve == [64, 128, 192, 256, 320, 384]
    assert same(work / folder, trained / folder)


def test_long_trainings_have_some_of_them(tiny_params):
    settings = tiny_params.stage1.model_copy(update={"images": 256_233_472, "log_every": 102_400})
    points = [*range(102_400, settings.images, 102_400), settings.images]
    due = [images for images in points if is_due(images, settings)]
    assert MOST - 1 <= len(due) <= MOST + 1 and due[-1] == settings.images
    assert math.gcd(*due[:-1]) % settings.log_every == 0
