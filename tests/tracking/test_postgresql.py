"""A real MLflow server on PostgreSQL that stops, starts again and is restored from an older dump.

Needs Debian's postgresql, and root, which starts it as the user `postgres`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from servers import free_port, running
from tracked import PARAMS, curve, runs, train

from msdd.errors import MsddError
from msdd.tracking import store
from msdd.tracking.delivery import deliver
from msdd.tracking.run import Run

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PROGRAMS or os.geteuid() != 0, reason="needs postgresql of Debian, and root"
    ),
]


def sql(*command: object, **options: object) -> str:
    """A program of PostgreSQL, as the user `postgres`."""
    program, *rest = map(str, command)
    line = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    done = subprocess.run(
        [*line, PROGRAMS[-1] / program, *rest], check=True, text=True, cwd="/", **options
    )
    return done.stdout


@pytest.fixture
def database():
    """The address of an empty database, and what connects a program to it."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    shutil.chown(folder, "postgres", "postgres")
    port, data = free_port(), folder / "data"
    sql("initdb", "--pgdata", data, "--auth", "trust", "--no-sync", stdout=subprocess.DEVNULL)
    options = f"-p {port} -k {folder} -c fsync=off"
    quiet = {"stdout": subprocess.DEVNULL}
    sql("pg_ctl", "--pgdata", data, "--log", folder / "log", "-o", options, "start", **quiet)
    at = ("--host", "127.0.0.1", "--port", port)
    sql("createdb", *at, "mlflow")
    yield f"postgresql://postgres@127.0.0.1:{port}/mlflow", at
    sql("pg_ctl", "--pgdata", data, "--mode", "immediate", "stop", **quiet)
    shutil.rmtree(folder)


@contextmanager
def mlflow(root, address, port):
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", address]
    command += ["--artifacts-destination", str(root / "artefacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with running(command, root, f"http://127.0.0.1:{port}/health", **quiet):
        yield


def test_every_record_arrives_once_whatever_becomes_of_the_server(root, database, monkeypatch):
    address, at = database
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")

    def log(steps):
        for step in steps:
            run.log(step, {"loss": 1 / (1 + step)})

    with Run(root, "msdd", "stage1", PARAMS) as run:
        with mlflow(root, address, port):
            log(range(10))
            deliver(root)
            dump = sql("pg_dump", *at, "mlflow", stdout=subprocess.PIPE)
            log(range(10, 20))
            train(root, range(5), part="ended")
            deliver(root)
        log(range(20, 30))
        with pytest.raises(MsddError, match="2 runs wait|1 runs wait"):
            deliver(root)
        with mlflow(root, address, port):
            deliver(root)
            client = store.client_at(f"http://127.0.0.1:{port}")
            whole = {
                one.info.run_name: len(curve(client, one)) for one in runs(client, stage="stage1")
            }
            assert whole == {"msdd/stage1": 30, "msdd/stage1/ended": 5}
        sql("dropdb", *at, "mlflow")
        sql("createdb", *at, "mlflow")
        sql("psql", *at, "--quiet", "mlflow", input=dump, stdout=subprocess.DEVNULL)
        log(range(30, 40))
    with mlflow(root, address, port):
        (found,) = runs(client, stage="stage1")
        assert len(curve(client, found)) == 10
        assert "2 runs are delivered again" in deliver(root)
        found = {one.info.run_name: one for one in runs(client, stage="stage1")}
        for name, count in (("msdd/stage1", 40), ("msdd/stage1/ended", 5)):
            assert curve(client, found[name]) == [(step, 1 / (1 + step)) for step in range(count)]
            assert found[name].info.status == "FINISHED"
