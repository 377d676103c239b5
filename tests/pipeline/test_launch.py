"""Which processes a job starts: by the GPUs and hosts that it was given."""

import os
import subprocess
import sys

import pytest

from msdd.errors import MsddError
from msdd.pipeline import launch

SLURM = {"SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "n[7-8]", "SLURM_JOB_NUM_NODES": "2"}
SLURM |= {"SLURM_CPUS_PER_TASK": "6", "SLURM_CPU_BIND": "quiet,mask_cpu:0x1"}
SCONTROL = """#!/bin/sh
test "$2" = hostnames && printf 'n7\\nn8\\n' || echo "NodeName=$3 NodeAddr=10.0.0.7 Port=6818"
"""
SRUN = """#!/bin/sh
echo "$*"
echo "$MSDD_RENDEZVOUS ${SLURM_CPU_BIND:-unbound}"
"""


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch):
    for name in ("RANK", "MSDD_GPUS", "MSDD_RENDEZVOUS", *SLURM):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MSDD_DEVICE", "cpu")


@pytest.mark.parametrize("given", [None, "0", "1"])
def test_one_gpu_or_none_needs_no_other_process(monkeypatch, given):
    if given:
        monkeypatch.setenv("MSDD_GPUS", given)
    assert launch.spread([]) is False


def test_gpus_that_hosts_cannot_share_are_refused(monkeypatch):
    monkeypatch.setenv("MSDD_GPUS", "3")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    with pytest.raises(MsddError, match="MSDD_GPUS=3 on 2 hosts: ask for as many GPUs on each"):
        launch.spread([])


def test_srun_starts_the_command_once_a_host(tmp_path):
    """The hosts meet at the address of the first, where SLURM's own names need not resolve."""
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    env = os.environ | SLURM | {"MSDD_GPUS": "8"}
    env["PATH"] = os.pathsep.join([str(tmp_path), env["PATH"]])
    command = [sys.executable, "-m", "msdd", "train", "msdd"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    options, meeting = done.stdout.splitlines()
    assert options.startswith("--nodes=2 --ntasks=2 ") and "--cpus-per-task=6" in options
    assert options.endswith(f"{sys.executable} -m msdd train msdd")
    assert meeting == "10.0.0.7:23456 unbound"
