"""Compiled trainings learn what plain ones do, students of an adversary with a warm cache, too.

One step is compared, by its losses and by Adam's first moment, which is the gradient times 0.1. The
losses of a second step would not do: Adam's first update is the sign of each gradient, and where a
gradient is 0 but for rounding, each processor has a sign of its own.
"""

import pytest
import torch

from msdd.commands.stages import run_stage
from msdd.fast.compiling import options
from msdd.params.load import parse
from msdd.train import run_job

pytestmark = pytest.mark.long

# Of sums of up to 3 * 8 * 8 * 16 numbers in float32, some 30 in a row; rounding is 6e-8.
TOLERANCE = 3e-5
TEACHER = {"images": 96, "batch": 16, "learning_rate": 1e-2, "warmup": 0, "checkpoint_every": 96}
SCALE = {"student": "msdd-1step", "scale": 0}
ONE_STEP = {"images": 16, "batch": 16, "log_every": 16, "checkpoint_every": 16, "warmup": 0}


@pytest.fixture(scope="module")
def params(tiny_params):
    """A step at the first scale; the adversary judges 8 px, as a list of weights may ask."""

    def changed(compile: bool, gan: float):
        raw = tiny_params.raw()
        raw["model"]["depth"] = 1  # compiled in half the time
        raw["stage1"] |= TEACHER
        raw["distil"] |= ONE_STEP | {"guidance": 1, "compile": compile}
        raw["students"]["msdd-1step"] |= {"gan": [gan, 0.0], "discriminator": "patch"}
        return parse(raw)

    return changed


@pytest.fixture
def taught(params, workdir):
    """A working directory with a teacher of one block."""
    run_stage(params(False, 0.0), "train", workdir, model="msdd")
    return workdir


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_they_learn_the_same(params, taught, states, monkeypatch, tmp_path, backend):
    """Without an adversary first: what was compiled for that must not be taken for the other.

    `aot_eager` runs the graphs, forwards and backwards, that the compiler is given.
    """
    monkeypatch.setattr(run_job, "options", lambda: options() | {"backend": backend})
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    for gan in (0.0, 0.1):
        plain = run_stage(params(False, gan), "distil", taught, **SCALE)
        torch._dynamo.reset()
        compiled = run_stage(params(True, gan), "distil", taught, **SCALE)
        assert plain["loss"] > 0 and ("gan" in plain) == bool(gan)
        assert compiled == pytest.approx(plain, rel=TOLERANCE)
        assert_same_gradients(*states[-2:])


def assert_same_gradients(a, b) -> None:
    """Of each parameter; 0 in exact arithmetic is 0 next to the whole gradient."""
    ours, theirs = ([s["exp_avg"] for s in state.optimiser.state.values()] for state in (a, b))
    whole = torch.stack([gradient.norm() for gradient in ours]).norm()
    assert len(ours) == len(theirs) > 0 and whole > 0
    for x, y in zip(ours, theirs, strict=True):
        assert (x - y).norm() <= TOLERANCE * (x.norm() + 1e-3 * whole)
