"""The device that is chosen; bf16 on a CPU computes, or says in one line that it cannot."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from msdd.device import arithmetic, exact, prepare_device, seed_torch
from msdd.errors import MsddError

TRIAL = """
import torch
from msdd.device import arithmetic
from msdd.errors import MsddError
try:
    with arithmetic("bf16", torch.device("cpu")):
        print((torch.ones(64, 64) @ torch.ones(64, 64)).sum().item())
except MsddError as error:
    print(error)
"""


def test_bf16_computes_or_says_that_it_cannot():
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.strip() == str(64.0**3) or done.stdout.startswith("precision bf16: ")


CPU = torch.device("cpu")
ONES = torch.ones(2, 2)


def test_fp32_is_fp32_inside_a_callers_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        with arithmetic("fp32", CPU):
            assert (ONES @ ONES).dtype == torch.float32
        assert (ONES @ ONES).dtype == torch.bfloat16


def test_an_unknown_precision_is_named():
    with pytest.raises(MsddError, match="the precision fp16 is unknown; it may be fp32 or bf16"):
        arithmetic("fp16", CPU)


def test_numbers_of_numpy_are_seeds_too():
    drawn = []
    for seed in (7, np.int64(7)):
        with seed_torch(seed, CPU):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_seeds_of_an_evaluation_leave_the_gpus_of_its_caller(monkeypatch):
    """Or a training that evaluates on the CPU would draw the same numbers after each evaluation."""
    before, seeded = torch.get_rng_state(), []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    drawn = []
    for _ in range(2):
        with seed_torch(7, CPU):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn) and torch.equal(torch.get_rng_state(), before) and not seeded


def products() -> list[str]:
    """How torch computes products and convolutions of float32, on a GPU and on a CPU."""
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    backends = (torch.backends.cuda.matmul, cudnn.conv, mkldnn.matmul, mkldnn.conv)
    return [backend.fp32_precision for backend in backends]


@pytest.mark.parametrize("chosen", ["highest", "high", "medium"])
def test_what_measures_is_exact_and_leaves_the_callers_settings(chosen):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(chosen)
    try:
        settings = products()
        with torch.autocast("cpu", torch.bfloat16), exact(CPU):
            assert (ONES @ ONES).dtype == torch.float32
            assert products() == ["ieee"] * 4 and torch.backends.cudnn.deterministic
        assert products() == settings and torch.get_float32_matmul_precision() == chosen
        assert not torch.backends.cudnn.deterministic
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_gpu_that_was_asked_for_and_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("MSDD_DEVICE", "cuda")
    with pytest.raises(MsddError, match="MSDD_DEVICE=cuda, but torch sees no GPU"):
        prepare_device(1)
    monkeypatch.setenv("MSDD_DEVICE", "cpu")
    assert prepare_device(1).type == "cpu"
    monkeypatch.setenv("MSDD_DEVICE", "gpu")
    with pytest.raises(MsddError, match="MSDD_DEVICE is gpu; it may be cpu or cuda"):
        prepare_device(1)


DEVICE = "from msdd.device import default_device; print(default_device())"


def test_a_job_that_was_given_a_gpu_and_finds_none_says_so():
    def told(**environment):
        hidden = os.environ | {"CUDA_VISIBLE_DEVICES": ""} | environment
        command = [sys.executable, "-c", DEVICE]
        done = subprocess.run(command, env=hidden, capture_output=True, text=True)
        return done.stdout + done.stderr

    assert told(MSDD_GPUS="0") == told(MSDD_GPUS="1", MSDD_DEVICE="cpu") == "cpu\n"
    assert "MsddError: this job was given gpu=1, but torch" in told(MSDD_GPUS="1")
