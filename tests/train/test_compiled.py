"""Compiled trainings learn what plain ones do, students of an adversary with a warm cache, too."""

import pytest
import torch

from msdd.commands.stages import run_stage
from msdd.data.shards import Crops
from msdd.params.load import parse
from msdd.pipeline import layout

SHORT = {"images": 32, "batch": 16, "log_every": 16, "checkpoint_every": 32}


@pytest.fixture
def with_gan(tiny_params):
    """Two steps at the first scale; the adversary judges 8 px, as a list of weights may ask."""

    def changed(compile: bool, gan: float):
        raw = tiny_params.raw()
        raw["distil"] |= SHORT | {"warmup": 0, "compile": compile}
        raw["students"]["msdd-1step"] |= {"gan": [gan, 0.0], "discriminator": "patch"}
        return parse(raw)

    return changed


def test_they_end_at_the_same_losses(with_gan, work, monkeypatch, tmp_path):
    """Without an adversary first: what was compiled for that must not be taken for the other."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    assert len(Crops(work / layout.prepared(), "train")) >= SHORT["images"]
    for gan in (0.0, 0.1):
        plain = run_stage(with_gan(False, gan), "distil", work, student="msdd-1step", scale=0)
        torch._dynamo.reset()
        compiled = run_stage(with_gan(True, gan), "distil", work, student="msdd-1step", scale=0)
        assert compiled == pytest.approx(plain, rel=1e-4)
