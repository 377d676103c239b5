"""Jobs that a scheduler asks to stop: saved at once, ended by a code, and continued bit for bit."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from msdd.pipeline import layout, stop

FOLDER = layout.stage1("msdd")
LONGER = {"images": 4096, "checkpoint_every": 4096}  # none but the last is due


@pytest.fixture
def longer(tiny_params, workdir):
    params = tiny_params.raw()
    params["stage1"] |= LONGER
    params["evaluate"] |= {"batch": 1, "lpips": []}
    (workdir / "params.yaml").write_text(yaml.safe_dump(params))
    return workdir


def start(root, *command, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "msdd", *command],
        cwd=root,
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def heard_after(job, sign):
    """Give a job the signal in the middle of its work; what it says and returns."""
    said = job.stderr.readline()  # of a training before its first step, of an evaluation then
    time.sleep(1)
    job.send_signal(sign)
    said += job.communicate(timeout=120)[1]
    return said, job.returncode


def finish(job):
    said = job.communicate(timeout=300)[1]
    assert job.returncode == 0, said
    return said


@pytest.mark.long
@pytest.mark.parametrize("sign", stop.SIGNALS)
def test_a_training_saves_ends_with_75_and_goes_on_to_the_same_bits(longer, sign):
    said, status = heard_after(start(longer, "train", "msdd"), sign)
    assert status == stop.EXIT, said
    assert f"msdd: stopped by stage1 msdd: {sign.name}; saved after" in said
    assert "run the same command again" in said
    assert "resuming after" in finish(start(longer, "train", "msdd"))
    resumed = (longer / FOLDER / "model.safetensors").read_bytes()
    (longer / FOLDER / "model.safetensors").unlink()
    finish(start(longer, "train", "msdd"))
    assert (longer / FOLDER / "model.safetensors").read_bytes() == resumed


def test_time_that_is_over_stops_a_training(longer):
    time_over = {stop.LIMIT: "0s"}
    job = start(longer, "train", "msdd", **time_over)
    said = job.communicate(timeout=120)[1]
    assert job.returncode == stop.EXIT and "MSDD_MAX_RUNTIME 0s is over; saved after 32" in said
    job = start(longer, "train", "msdd", **time_over)
    assert "saved after 64 images" in job.communicate(timeout=120)[1]


def test_an_evaluation_loses_nothing(longer):
    job = start(longer, "baseline", "bicubic")
    said, status = heard_after(job, signal.SIGTERM)
    if status == 0:
        pytest.skip("it was faster than the signal")
    assert status == stop.EXIT and "SIGTERM; saved after" in said, said
    count = said.rpartition("saved after ")[2].partition(" ")[0]
    assert f"resuming after {count} of" in finish(start(longer, "baseline", "bicubic"))
