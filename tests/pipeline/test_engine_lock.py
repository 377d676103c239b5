import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msdd.errors import MsddError
from msdd.pipeline import engine_lock

OWN = "from msdd.pipeline import engine_lock; engine_lock.own(); print(flush=True); input()"


@pytest.fixture
def locked(tmp_path, monkeypatch):
    """A working directory with a file of Snakemake's lock; returns the file."""
    monkeypatch.chdir(tmp_path)
    path = Path(".snakemake/locks/0.output.lock")
    path.parent.mkdir(parents=True)
    path.write_text("model.pt\n")
    return path


@pytest.fixture
def owner(locked):
    process = subprocess.Popen(
        [sys.executable, "-c", OWN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_the_lock_of_the_living_stays_and_that_of_the_dead_goes(locked, owner, capsys):
    engine_lock.remove_if_dead()
    assert locked.exists()
    owner.kill()
    owner.wait()
    engine_lock.remove_if_dead()
    assert not locked.exists()
    assert f"process {owner.pid} on " in capsys.readouterr().err


SQUEUE = """#!/bin/sh
echo "41|0b4f9c5e-1d2a-4c3b-8e7f-0123456789ab|$PWD"
echo "42|0b4f9c5e-1d2a-4c3b-8e7f-0123456789ab|/elsewhere"
echo "43|bash|$PWD"
"""


def test_no_run_begins_beside_the_jobs_of_one_that_is_gone(locked, owner, monkeypatch):
    """By what squeue prints; tests/workflow/test_slurm.py has a real one."""
    Path("bin").mkdir()
    Path("bin/squeue").write_text(SQUEUE)
    Path("bin/squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path.cwd() / 'bin'}:{os.environ['PATH']}")
    engine_lock.remove_if_dead()
    owner.kill()
    owner.wait()
    with pytest.raises(MsddError, match=r"the jobs 41 that process .* `scancel 41`"):
        engine_lock.remove_if_dead()
    assert locked.exists()
    Path("bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    engine_lock.remove_if_dead()
    assert not locked.exists()


def test_an_owner_that_has_not_come_to_its_start_has_time_for_it(locked, owner, monkeypatch):
    """Files newer than the last signature; nobody holds the lock yet."""
    owner.kill()
    owner.wait()
    later = time.time() + 60
    os.utime(locked, (later, later))
    monkeypatch.setattr(engine_lock, "SECONDS_TO_START", 1.0)
    begun = time.monotonic()
    engine_lock.remove_if_dead()
    assert time.monotonic() - begun > 1.0
    assert not locked.exists()


def test_the_lock_of_another_host_stays_with_a_line(locked, capsys):
    signature = {"pid": 1, "host": "elsewhere", "since": "2026-01-01 00:00:00"}
    engine_lock.OWNER.write_text(json.dumps(signature))
    engine_lock.remove_if_dead()
    assert locked.exists()
    told = capsys.readouterr().err
    assert "process 1 on elsewhere" in told and "snakemake --unlock" in told


def test_a_folder_without_locks_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine_lock.remove_if_dead()
    assert not list(tmp_path.iterdir())
