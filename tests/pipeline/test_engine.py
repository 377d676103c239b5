"""Jobs whose engine is killed alone: they stop by themselves, and the next one waits for that."""

import os
import signal
import subprocess
import sys
import time

import pytest

from msdd.errors import MsddError
from msdd.pipeline import engine, lock

ENGINE = """import subprocess, sys
subprocess.run(["sh", "-c", 'exec "$0" "$@"; :', sys.executable, *sys.argv[1:]])"""

JOB = """if True:
    import sys, time; from msdd.pipeline import engine, lock, stop
    with lock.hold(sys.argv[1]), stop.requests() as asked:
        print(engine.above().pid, flush=True)
        while not (why := asked()):
            time.sleep(0.02)
        time.sleep(0.5)
    open(sys.argv[2], "w").write(why)"""


LATE = """if True:
    import sys, time; from msdd.pipeline import lock
    with lock.hold(sys.argv[1]):
        open(sys.argv[2], "w").close()
        time.sleep(1)"""


@pytest.fixture(params=["snakemake", "dvc"])
def running(request, tmp_path):
    """An engine with a job that holds a lock; and where the job says why it has stopped."""
    script = tmp_path / request.param
    script.write_text(ENGINE)
    path, why = tmp_path / "checkpoints/a/lock", tmp_path / "why"
    command = [sys.executable, script, "-c", JOB, path, why]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert int(process.stdout.readline()) == process.pid
        yield process, path, why
        process.kill()


def test_a_job_stops_when_its_engine_is_gone_and_the_next_one_waits(running, capsys):
    process, path, why = running
    with pytest.raises(MsddError, match="wait for it or stop it"), lock.hold(path):
        pass
    assert engine.lost() == ""  # these tests have no engine
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock.hold(path):
        deadline = time.monotonic() + 300
        while not why.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert why.read_text().endswith(f" (process {process.pid}) is gone")
    told = capsys.readouterr().err
    assert f"whose {why.read_text()}; waiting until it has stopped" in told


def test_an_engine_that_died_before_its_job_looked_for_it_is_waited_for(tmp_path, capsys):
    path, begun = tmp_path / "a/lock", tmp_path / "begun"
    command = [sys.executable, "-c", LATE, path, begun]  # its parent ends at once
    subprocess.run(
        ["sh", "-c", '"$0" "$@" &', *command], env=os.environ | {"DVC_STAGE": "train@a"}, check=True
    )
    while not begun.exists():
        time.sleep(0.02)
    with lock.hold(path):
        pass
    assert "whose dvc is gone; waiting until it has stopped" in capsys.readouterr().err


def test_a_process_that_has_anothers_number_is_no_engine():
    ours = engine.process_status("self")["start"]
    assert engine.Engine("dvc", os.getpid(), ours).lost == ""
    assert "is gone" in engine.Engine("dvc", os.getpid(), str(int(ours) + 1)).lost


def test_a_command_that_only_names_an_engine_is_none(tmp_path):
    """Such as the shell in which Snakemake runs a rule, in a folder of this name."""
    command = ["sh", "-c", "sleep 60; : /a/dvc", "snakemake"]
    with subprocess.Popen(command) as process:
        assert engine.engine_of(process.pid) == ""
        process.kill()
