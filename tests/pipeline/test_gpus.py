"""Leases of GPUs, by real processes on hosts with made-up devices."""

import os
import select
import subprocess
import sys

import pytest

from msdd.errors import MsddError
from msdd.pipeline import gpus

JOB = """if True:
    import os, sys
    from pathlib import Path
    from msdd.pipeline import gpus
    gpus.SECONDS = 0.05
    devices, locks, wanted = sys.argv[1:]
    gpus.lease(int(wanted), Path(devices), Path(locks))
    print(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
    sys.stdin.read()"""


@pytest.fixture(autouse=True)
def unassigned(monkeypatch):
    for name in (gpus.LISTED, *gpus.SCHEDULERS, "RANK", "MSDD_DEVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def devices(tmp_path):
    """A host with three GPUs, and what else stands in its /dev."""
    folder = tmp_path / "dev"
    folder.mkdir()
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-caps", "null"):
        (folder / name).touch()
    return folder


@pytest.fixture
def start(devices, tmp_path):
    """Starts jobs that keep their lease until they are ended."""
    jobs = []

    def begin(wanted, **environment):
        command = [sys.executable, "-c", JOB, str(devices), str(tmp_path / "locks"), str(wanted)]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        env = os.environ | environment
        jobs.append(subprocess.Popen(command, env=env, text=True, **pipes))
        return jobs[-1]

    yield begin
    for job in jobs:
        job.kill()
        job.communicate()


def sees(job) -> set[str]:
    return set(job.stdout.readline().strip().split(","))


def waits(job) -> str:
    """What the job says that it waits for."""
    line = job.stderr.readline()
    assert not select.select([job.stdout], [], [], 0.3)[0]
    return line


def test_jobs_at_once_see_different_gpus_and_the_next_waits(start):
    jobs = [start(1) for _ in range(3)]
    assert sorted(map(sees, jobs), key=min) == [{"0"}, {"1"}, {"2"}]
    last = start(1)
    assert waits(last).startswith("msdd: waiting for a GPU of 3; held: GPU 0 by process ")
    jobs[1].kill()  # SIGKILL
    (free,) = sees(last)
    assert free in "012"


def test_a_job_of_two_gets_both_at_once_and_is_not_overtaken(start):
    first, second = start(1), start(1)
    taken = sees(first) | sees(second)
    pair = start(2)
    assert waits(pair).startswith("msdd: waiting for 2 GPUs of 3; held: ")
    later = start(1)
    waits(later)
    first.kill()
    assert len(sees(pair)) == 2
    pair.kill()
    assert sees(later) and taken


def test_no_gpu_given_means_none_seen(start):
    assert sees(start(0)) == {""}


@pytest.mark.parametrize(
    "name", ["CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "KUBERNETES_SERVICE_HOST", "PBS_JOBID"]
)
def test_what_somebody_has_assigned_stays(start, name):
    assert sees(start(1, **{name: "7"})) == {"7" if name == "CUDA_VISIBLE_DEVICES" else "all"}


@pytest.mark.parametrize("more", [{}, {"SLURM_JOB_ID": "4711"}])
def test_of_those_that_are_listed_each_job_has_its_own(start, more):
    """As in a shell on a shared host, and in an allocation of several GPUs."""
    assert [sees(start(1, CUDA_VISIBLE_DEVICES="2,GPU-5a", **more)) for _ in range(2)] == [
        {"2"},
        {"GPU-5a"},
    ]


def test_a_host_without_gpus_leases_none(tmp_path):
    gpus.lease(1, tmp_path, tmp_path / "locks")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ and not (tmp_path / "locks").exists()


def test_more_than_there_are_is_refused(devices, tmp_path):
    with pytest.raises(MsddError, match="MSDD_GPUS=4, but this machine has 3"):
        gpus.lease(4, devices, tmp_path)
    with pytest.raises(MsddError, match="MSDD_GPUS=2, but this machine has 0"):
        gpus.lease(2, tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["two", "-1", "1.5"])
def test_a_number_of_gpus_is_a_number(monkeypatch, text):
    monkeypatch.setenv("MSDD_GPUS", text)
    with pytest.raises(MsddError, match=f"MSDD_GPUS is {text}"):
        gpus.requested()
