"""The database file in the working directory, which other processes lock and delete at any time."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

from tracked import PARAMS, curve, runs

from msdd.tracking import outbox
from msdd.tracking.run import Run

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
TRAIN = """
from msdd.tracking import run
with run.Run(".", "msdd", "stage1", {"seed": 0}) as training:
    for step in range(5):
        training.log(step, {"loss": 1 / (1 + step)})
for delivery in run._deliveries:
    delivery.wait()
"""
WHOLE = [(step, 1 / (1 + step)) for step in range(5)]


def test_a_locked_database_lets_records_wait_and_loses_none(root, client, monkeypatch):
    """Another process holds it as long as a training delivers, which does not end for that."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=0.2")  # else 5 s
    with held(root / "mlflow.db"):
        done = python(root, "-c", TRAIN)
        assert done.returncode == 0, done.stderr
        log = (root / ".tracking/delivery.log").read_text()
        assert "database is locked" in log and "1 runs wait in .tracking/outbox" in log
    assert python(root, "-m", "msdd", "track").returncode == 0
    (stored,) = runs(client, stage="stage1")
    assert stored.info.status == "FINISHED" and curve(client, stored) == WHOLE


def test_a_database_deleted_under_a_delivery_loses_nothing(root, client, migrated):
    """Whatever that delivery has written to, and noted as delivered."""
    from mlflow import MlflowClient

    with Run(root, "msdd", "stage1", PARAMS) as run:
        run.log(0, {"loss": 1.0})
        with subprocess.Popen([sys.executable, "-m", "msdd.tracking.delivery", root]) as delivery:
            while delivery.poll() is None and not opened(delivery.pid, root / "mlflow.db"):
                time.sleep(0.002)
            (root / "mlflow.db").unlink()
        shutil.copy(migrated, root / "mlflow.db")
        for step, loss in WHOLE[1:]:
            run.log(step, {"loss": loss})
    assert python(root, "-m", "msdd.tracking.delivery", root).returncode == 0
    assert not list(outbox.folder(root).iterdir())
    client = MlflowClient(f"sqlite:///{root}/./mlflow.db")
    (stored,) = runs(client, stage="stage1")
    assert stored.info.status == "FINISHED" and curve(client, stored) == WHOLE


@contextmanager
def held(database):
    """An exclusive transaction of another process on a database, for the block."""
    command = [sys.executable, "-c", HOLD, database]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as holder:
        assert holder.stdout.readline() == b"held\n"
        yield


def opened(process, path):
    """Whether a process has a file open."""
    try:
        links = [os.readlink(link) for link in os.scandir(f"/proc/{process}/fd")]
    except OSError:  # it closes and ends
        return False
    return str(path) in links


def python(root, *words):
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
