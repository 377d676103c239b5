"""The training loop: resumption to the bit, refusals, the average and the learning rate."""

import os
import shutil
import signal
import subprocess
import sys
from itertools import count
from types import SimpleNamespace

import pytest
import torch
import training_pace
from interruption import Interruption, assert_equal_to_the_bit, interrupted
from torch import nn

from msdd.ceilings import Ceilings
from msdd.commands.stages import run_stage
from msdd.data.loader import batch_indices
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.pipeline import layout
from msdd.train import distil, run_job, stage1
from msdd.train.ema import RAMP, Ema
from msdd.train.loop import gradients
from msdd.train.optimiser import learning_rate
from msdd.train.team import ALONE

FOLDER = layout.stage1("msdd")
SCALE = layout.scale("msdd", "msdd-1step", 1)

# Trains to the middle of step 8 (batch 32, a checkpoint after 128 images) and stops there.
CHILD = """
import os, signal
from pathlib import Path

from msdd.commands.stages import run_stage
from msdd.params.load import load
from msdd.train import stage1

losses, steps = stage1.losses, iter(range(8))

def stopping(*arguments):
    terms = losses(*arguments)
    if next(steps) == 7:
        os.kill(os.getpid(), signal.SIGSTOP)
    return terms

stage1.losses = stopping
run_stage(load(), "train", Path("."), model="msdd")
"""


def distil_interrupted(monkeypatch, params, root) -> None:
    """Distil scale 1 up to the middle of step 5 of 6."""
    with interrupted(monkeypatch, distil, step=5):
        run_stage(params, "distil", root, student="msdd-1step", scale=1)
    assert not (root / SCALE / "model.safetensors").exists()


def same_files(a, b) -> bool:
    return all((a / f).read_bytes() == (b / f).read_bytes() for f in layout.TRAINING_FILES)


def with_section(params, name: str, **changes):
    section = getattr(params, name).model_copy(update=changes)
    return params.model_copy(update={name: section})


def test_killed_stage1_goes_on_to_the_same_bits(tiny_params, trained, workdir, states, capsys):
    """Stopped dead between two checkpoints; while it lives, nobody else may make its artefact."""
    child = subprocess.Popen([sys.executable, "-c", CHILD], cwd=workdir, stderr=subprocess.PIPE)
    try:
        _, status = os.waitpid(child.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), child.stderr.read().decode()
        with pytest.raises(MsddError, match=f"{FOLDER} is being made by process {child.pid} on "):
            run_stage(tiny_params, "train", workdir, model="msdd")
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert not (workdir / FOLDER).exists()

    states.clear()
    run_stage(tiny_params, "train", workdir, model="msdd")
    assert "stage1 msdd: resuming after 128 images" in capsys.readouterr().err
    assert same_files(workdir / FOLDER, trained / FOLDER)
    assert not list((workdir / "checkpoints").rglob("*.pt"))

    shutil.rmtree(workdir / FOLDER)
    run_stage(tiny_params, "train", workdir, model="msdd")
    assert "resuming" not in capsys.readouterr().err
    assert_equal_to_the_bit(*states)


def test_interrupted_distillation_goes_on_to_the_same_bits(
    tiny_params, trained, work, states, monkeypatch, capsys
):
    """Its checkpoint, after 96 images, falls between two points of the curve, at 64 and 128."""
    run_stage(tiny_params, "distil", work, student="msdd-1step", scale=1)
    shutil.rmtree(work / SCALE)
    distil_interrupted(monkeypatch, tiny_params, work)
    run_stage(tiny_params, "distil", work, student="msdd-1step", scale=1)
    assert "distil msdd-1step scale1: resuming after 96 images" in capsys.readouterr().err
    uninterrupted, _, resumed = states
    assert_equal_to_the_bit(uninterrupted, resumed)
    assert same_files(work / SCALE, trained / SCALE)


def test_every_step_draws_its_own_noise(tiny_params, work, monkeypatch):
    losses, seeds = distil.losses, []

    def noting(*arguments):
        seeds.append(torch.initial_seed())
        return losses(*arguments)

    monkeypatch.setattr(distil, "losses", noting)
    for k in range(2):
        run_stage(tiny_params, "distil", work, student="msdd-1step", scale=k)
    assert len(seeds) == len(set(seeds)) == 12


def test_a_checkpoint_of_a_finished_training_only_needs_its_export(
    tiny_params, trained, work, monkeypatch, capsys
):
    """Killed after the last checkpoint and before the artefact was in place."""
    shutil.rmtree(work / SCALE)

    def failing(*_):
        raise Interruption

    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(distil.model_folder, "save", failing)
        run_stage(tiny_params, "distil", work, student="msdd-1step", scale=1)
    run_stage(tiny_params, "distil", work, student="msdd-1step", scale=1)
    assert "resuming after 192 images" in capsys.readouterr().err
    assert same_files(work / SCALE, trained / SCALE)


def test_another_key_starts_afresh_and_says_so(
    tiny_params, trained, work, states, monkeypatch, capsys
):
    shutil.rmtree(work / SCALE)
    distil_interrupted(monkeypatch, tiny_params, work)
    changed = with_section(tiny_params, "distil", teacher_steps=3)
    run_stage(changed, "distil", work, student="msdd-1step", scale=1)
    told = [line for line in capsys.readouterr().err.splitlines() if "starting afresh" in line]
    assert len(told) == 1 and told[0].startswith("distil msdd-1step scale1: params, code or data")
    shutil.rmtree(work / "checkpoints")
    run_stage(changed, "distil", work, student="msdd-1step", scale=1)
    assert_equal_to_the_bit(*states[-2:])
    assert not same_files(work / SCALE, trained / SCALE)


def test_a_loss_that_is_no_number_is_one_line(tiny_params, workdir):
    params = with_section(tiny_params, "stage1", learning_rate=1e30)
    with pytest.raises(MsddError) as error:
        run_stage(params, "train", workdir, model="msdd")
    told = str(error.value)
    where = "stage1 msdd: the loss is not a number in step 2 (images 32 to 64): "
    assert told.startswith(where) and "a learning_rate below 1e+30" in told and "\n" not in told
    found = read_json(workdir / "checkpoints" / FOLDER / "not-a-number.json")
    assert found["images"] == 32 and set(found["terms"]) <= {"scale0", "scale1"}
    indices = batch_indices(tiny_params.seed, 256, 32, 32).tolist()
    assert found["batch"] == [f"crop {index}" for index in indices]
    assert not (workdir / FOLDER).exists()
    assert not list((workdir / "checkpoints").rglob("*.pt"))


def test_what_is_no_number_is_not_saved(tiny_params, workdir):
    """A checkpoint of it would end every later attempt as well."""
    params = with_section(tiny_params, "stage1", learning_rate=1e30, log_every=384)
    params = with_section(params, "stage1", checkpoint_every=64)
    with pytest.raises(MsddError, match=r"in step 2 \(images 32 to 64\)"):
        run_stage(params, "train", workdir, model="msdd")
    assert not list((workdir / "checkpoints").rglob("*.pt"))


@pytest.mark.parametrize("step", [2, 12])
def test_a_gradient_that_is_no_number_is_told_of_a_loss_that_is(
    tiny_params, workdir, monkeypatch, step
):
    """In the last step no later loss would show what the weights have become."""
    params = with_section(tiny_params, "stage1", log_every=384)
    whole, calls = stage1.losses, count(1)

    def broken(*given):
        terms = whole(*given)
        return terms | ({"loss": Overflowing.apply(terms["loss"])} if next(calls) == step else {})

    monkeypatch.setattr("msdd.train.stage1.losses", broken)
    told = rf"the gradient is not a number in step {step} \(.*\): gradient; the batch had"
    with pytest.raises(MsddError, match=told):
        run_stage(params, "train", workdir, model="msdd")
    assert not (workdir / FOLDER).exists()


class Overflowing(torch.autograd.Function):
    """Nothing to a number, and infinity times to its gradient."""

    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(_, gradient):
        return gradient * torch.inf


@pytest.mark.parametrize(
    "lack",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_lack_of_memory_says_what_to_lower(tiny_params, workdir, monkeypatch, lack):
    def losses(*_):
        raise lack

    monkeypatch.setattr("msdd.train.stage1.losses", losses)
    told = "out of memory: stage1 msdd: lower stage1.microbatch, 32 images now, to a divisor"
    with pytest.raises(MsddError, match=told):
        run_stage(tiny_params, "train", workdir, model="msdd")


def test_a_training_ends_well_without_memory_to_count_its_flops(
    tiny_params, workdir, monkeypatch, capsys
):
    def lacking(*_):
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`")

    monkeypatch.setattr(run_job, "MIN_SECONDS", -1)
    monkeypatch.setattr(run_job, "training_speed", lacking)
    run_stage(tiny_params, "train", workdir, model="msdd")
    assert (workdir / FOLDER / "model.safetensors").exists()
    assert "stage1 msdd: not enough memory to count the FLOPs of a step" in capsys.readouterr().err


def test_the_pace_that_a_gpu_is_asked_for_is_that_of_steps(tiny_params, monkeypatch):
    """`make gpu-check` has one try on a machine that is lent for minutes."""
    monkeypatch.setenv("MSDD_DEVICE", "cpu")
    monkeypatch.setattr(training_pace, "WARM", 1)
    monkeypatch.setattr(training_pace, "STEPS", 2)
    monkeypatch.setattr(training_pace, "measure", lambda *_: Ceilings(1e12, 1e12, 1e12, "made up"))
    document = training_pace.pace(tiny_params, "msdd")
    assert len(document["samples"]) == 2 and document["batch"] == tiny_params.stage1.batch
    rate = document["flops"] * document["images_per_second"]
    assert document["mfu"] == pytest.approx(rate / 1e12)


def test_a_batch_in_parts_has_the_gradient_of_the_whole():
    """And its terms, where each image has its own."""
    images, network = torch.randn(12, 3, 2, 2).double(), nn.Linear(12, 2).double()

    def losses(images, _):
        out = network(images.flatten(1))
        return {"loss": out.square().mean(), "first": out[:, 0].mean()}

    found = []
    for microbatch in (None, 12, 3):
        settings = SimpleNamespace(microbatch=microbatch, precision="fp32", colour_jitter=0.0)
        of = {"stage": "stage1", "part": "", "task": SimpleNamespace(seed=0)}
        job = SimpleNamespace(settings=settings, losses=losses, network=network, **of)
        terms = gradients(job, images, None, seen=0, team=ALONE)
        found.append([*terms.values(), network.weight.grad.clone(), network.bias.grad.clone()])
        network.zero_grad()
    for alike in found[1:]:
        torch.testing.assert_close(alike, found[0], rtol=1e-12, atol=1e-12)


def test_average_against_the_sum_it_stands_for():
    """avg_k = w_0 prod keep + sum_j (1 - keep_j) w_j prod_(l > j) keep_l, over a ramp and beyond;
    keep_j = 2^(-batch / half-life_j), half-life_j = min(half_life, 0.05 images seen)."""
    batch, half_life, steps = 8, 40, 200
    module = nn.Linear(3, 2, bias=False).double()
    ema = Ema(module, half_life)
    weights, keeps = [module.weight.detach().clone()], [0.0]
    for k in range(1, steps + 1):
        with torch.no_grad():
            module.weight.normal_()
        ema.update(k * batch, batch)
        weights.append(module.weight.detach().clone())
        keeps.append(0.5 ** (batch / min(half_life, RAMP * k * batch)))
    assert RAMP * batch < half_life < RAMP * steps * batch
    expected = sum(
        (1 - keep) * torch.tensor(keeps[j + 1 :], dtype=torch.float64).prod() * weight
        for j, (keep, weight) in enumerate(zip(keeps, weights, strict=True))
    )
    torch.testing.assert_close(ema.average["weight"], expected, atol=1e-12, rtol=0)


def test_a_weight_halves_every_half_life():
    module = nn.Linear(1, 1, bias=False)
    nn.init.ones_(module.weight)
    ema = Ema(module, half_life=64)
    nn.init.zeros_(module.weight)
    for k in range(8):
        ema.update(10_000 + 8 * k, 8)
    assert ema.average["weight"].item() == pytest.approx(0.5)


def test_learning_rate_at_its_ends(tiny_params):
    """Linear from one batch's share to the peak, then a cosine to `min_lr_ratio` of it."""
    changes = {"images": 1000, "batch": 10, "warmup": 100, "learning_rate": 2.0}
    settings = tiny_params.stage1.model_copy(update=changes | {"min_lr_ratio": 0.1})
    rates = [learning_rate(images, settings) for images in range(0, 1001, 10)]
    assert rates[0] == pytest.approx(2 * 10 / 100)
    assert rates[50] == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    assert rates[-1] == pytest.approx(2 * 0.1)
    assert max(rates) <= 2 and rates.index(max(rates)) == 9
    assert rates[9:] == sorted(rates[9:], reverse=True)
    without = settings.model_copy(update={"warmup": 0})
    assert learning_rate(0, without) == 2.0
