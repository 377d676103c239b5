"""Several processes train what one trains: the same losses, weights and order of the images."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
import torch
import yaml
from forked import of_first
from interruption import assert_same
from processes import CURVE, WEIGHT, assert_alike, assert_close, copies, trained_by

from msdd.data.loader import Loader
from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.device import prepare_device
from msdd.errors import MsddError
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.pipeline import layout
from msdd.seeds import seed_of
from msdd.train import chain, run_job, stage1
from msdd.train.optimiser import learning_rate, optimiser
from msdd.train.team import Team, join

STAGE1 = (stage1, "train", {"model": "msdd"})
ADVERSARY = (chain, "chain", {"student": "finetuned"})


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("MSDD_DEVICE", "cpu")


@pytest.fixture
def quarters(tiny_params):
    """The tiny preset, with four microbatches a step and four steps."""
    shorter = {"microbatch": 8, "images": 128, "checkpoint_every": 64}
    sections = {
        name: getattr(tiny_params, name).model_copy(update=shorter) for name in ("stage1", "distil")
    }
    return tiny_params.model_copy(update=sections)


@pytest.mark.parametrize("job", [STAGE1, ADVERSARY], ids=["stage1", "adversary"])
def test_any_number_of_processes_trains_the_same(quarters, work, job):
    roots = copies(work, 3)
    (alone,), two, four = (
        trained_by(size, quarters, root, job) for size, root in zip((1, 2, 4), roots, strict=True)
    )
    for states in (two, four):
        assert_alike(states, alone)


def test_two_processes_against_plain_steps_of_the_whole_batch(quarters, workdir):
    """Three steps: four passes, each with its own noise, one loss, one gradient, one step."""
    settings = quarters.stage1.model_copy(update={"images": 96, "log_every": 32})
    params = quarters.model_copy(update={"stage1": settings})
    found, _ = trained_by(2, params, workdir, STAGE1)

    torch.manual_seed(seed_of("weights", params.seed))
    network = Autoencoder(ModelConfig.of(16, params.model.model_dump())).train()
    adam, curve = optimiser(network, settings), []
    with Loader(Crops(workdir / layout.prepared(), "train"), params.seed, 32) as loader:
        for seen, (images, *_) in zip((0, 32, 64), loader, strict=False):
            total = 0
            for index, part in enumerate(from_uint8(images).split(8)):
                key = ("stage1", "", params.seed, seen) + ((index,) if index else ())
                torch.manual_seed(seed_of(*key))
                total = total + stage1.losses(network, part, settings)["loss"] / 4
            for group in adam.param_groups:
                group["lr"] = learning_rate(seen, settings)
            adam.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip)
            adam.step()
            curve.append(total.item())
    torch.testing.assert_close([point["loss"] for point in found["curve"]], curve, **CURVE)
    torch.testing.assert_close(found["network"], network.state_dict(), **WEIGHT)


def test_who_goes_on_from_a_checkpoint_goes_on_alike(quarters, work):
    """The same number of processes to the same bits, another with the same images and noise."""
    whole, same, other = copies(work, 3)
    uninterrupted, _ = trained_by(2, quarters, whole, STAGE1)
    for root in (same, other):
        trained_by(
            2, quarters, root, STAGE1, stop=2 * 3
        )  # in the last step; a checkpoint after two
        assert (root / "checkpoints" / layout.stage1("msdd") / "checkpoint.pt").exists()
    resumed, _ = trained_by(2, quarters, same, STAGE1)
    assert_same(resumed, uninterrupted)
    assert_close(trained_by(4, quarters, other, STAGE1)[0], uninterrupted)


@pytest.mark.long
def test_a_killed_process_ends_the_job_by_name_and_the_command_goes_on(quarters, workdir):
    longer = quarters.stage1.model_copy(update={"images": 640})
    raw = quarters.model_copy(update={"stage1": longer}).raw()
    (workdir / "params.yaml").write_text(yaml.safe_dump(raw))
    aside = workdir / "checkpoints" / layout.stage1("msdd")
    job = launched(workdir)
    while not (aside / "checkpoint.pt").exists():
        time.sleep(0.01)
        assert job.poll() is None, job.stderr.read()
    workers = psutil.Process(job.pid).children()
    (second,) = (worker for worker in workers if worker.environ()["RANK"] == "1")
    second.send_signal(signal.SIGKILL)
    _, said = job.communicate(timeout=300)
    assert job.returncode == 1
    (error,) = (line for line in said.splitlines() if "error" in line)
    assert error.startswith(f"msdd: error: process 1 of 2 (pid {second.pid} on ")
    assert "SIGKILL" in error and not any(worker.is_running() for worker in workers)

    job = launched(workdir)
    _, said = job.communicate(timeout=300)
    assert job.returncode == 0 and "resuming after" in said
    assert said.count("done in") == 1  # one process speaks
    assert (workdir / layout.stage1("msdd") / "model.safetensors").exists()


def launched(root) -> subprocess.Popen:
    command = [sys.executable, "-m", "msdd", "train", "msdd"]
    env = os.environ | {"MSDD_GPUS": "2"}
    return subprocess.Popen(command, cwd=root, env=env, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("stage", "batch", "microbatch", "size", "told"),
    [
        ("stage1", 32, None, 2, "stage1.microbatch null .* into 1, .* set stage1.microbatch to 16"),
        ("finetune", 32, 16, 4, "distil.microbatch 16 .* into 2, .* set distil.microbatch to 8"),
        ("distil", 24, 4, 4, "distil.microbatch 4 .* into 6, .* set distil.microbatch to 3"),
        ("stage1", 32, 8, 3, "stage1.microbatch 8 .* into 4, .* set stage1.batch to a multiple"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(stage, batch, microbatch, size, told):
    settings = SimpleNamespace(batch=batch, microbatch=microbatch)
    job = SimpleNamespace(name="x", stage=stage, settings=settings)
    with pytest.raises(MsddError, match=told):
        run_job.check_shares(job, Team(0, size))


def differing():
    team = join(prepare_device(1))
    team.check_same(64, [torch.ones(3), torch.zeros(2)])
    team.check_same(64, [torch.ones(3), torch.full((2,), float(team.rank))])


def test_processes_with_different_weights_are_told():
    assert "after 64 images the 2 processes do not hold the same" in of_first(2, differing)


def added():
    """Tensors of several shapes, over the limit of a bucket and under it."""
    team = join(prepare_device(1))
    tensors = [torch.full((shape,), float(team.rank + 1)) for shape in (2, 1 << 24, 3)]
    team.add_up(tensors)
    return [tensor.unique().tolist() for tensor in tensors]


def test_sums_over_processes():
    assert of_first(2, added) == [[3.0]] * 3


@pytest.mark.parametrize(
    ("nccl", "gpus", "told"),
    [(True, 2, "4 processes on this host, but torch sees 2 GPUs"), (False, 4, "need NCCL")],
)
def test_what_gpus_lack_is_one_line(monkeypatch, nccl, gpus, told):
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(MsddError, match=told):
        join(torch.device("cuda", 0))
