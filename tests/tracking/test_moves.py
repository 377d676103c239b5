"""What people delete, rename and move keeps no run from arriving."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tracked import PARAMS, curve, runs, train

from msdd.errors import MsddError
from msdd.tracking import store
from msdd.tracking.delivery import deliver
from msdd.tracking.outbox import folder
from msdd.tracking.run import Run


def delete_experiment(client, experiment, run):
    client.delete_experiment(experiment)


def delete_runs(client, experiment, run):
    client.delete_run(run.data.tags["mlflow.parentRunId"])
    client.delete_run(run.info.run_id)


def rename_experiment(client, experiment, run):
    client.rename_experiment(experiment, "of last year")


def rename_and_delete_experiment(client, experiment, run):
    rename_experiment(client, experiment, run)
    delete_experiment(client, experiment, run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (delete_experiment, "the experiment 'msdd' had been deleted and is restored"),
        (delete_runs, "the run msdd/stage1 had been deleted and is restored"),
        (rename_experiment, "the experiment 'msdd' is new there"),
        (rename_and_delete_experiment, "'of last year' had been deleted and is restored"),
    ],
)
def test_what_is_changed_in_the_page_under_a_run_keeps_nothing_from_arriving(
    root, client, change, told
):
    """The run goes on where it was, under its parent; a new one goes to the experiment's name."""
    with Run(root, "msdd", "stage1", PARAMS) as run:
        run.log(64, {"loss": 1.0})
        deliver(root)
        (stored,) = runs(client, stage="stage1")
        change(client, stored.info.experiment_id, stored)
        run.log(128, {"loss": 0.5})
    train(root, (0,), part="next")
    assert told in deliver(root)
    assert not list(folder(root).iterdir())

    again = client.get_run(stored.info.run_id)
    assert (again.info.lifecycle_stage, again.info.status) == ("active", "FINISHED")
    assert curve(client, again) == [(64, 1.0), (128, 0.5)]
    parent = client.get_run(again.data.tags["mlflow.parentRunId"]).info
    assert parent.lifecycle_stage == "active"
    assert parent.experiment_id == again.info.experiment_id
    new = [run for run in runs(client, stage="stage1") if run.info.run_name == "msdd/stage1/next"]
    assert len(new) == 1


def test_a_run_is_there_again_after_its_database_was_deleted(root, client, migrated):
    with Run(root, "msdd", "stage1", PARAMS) as run:
        run.log(64, {"loss": 1.0})
        deliver(root)
        (root / "mlflow.db").unlink()
        shutil.copy(migrated, root / "mlflow.db")
        run.log(128, {"loss": 0.5})
    assert "the run msdd/stage1 was gone and is there again" in deliver_apart(root)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/./mlflow.db")
    (stored,) = runs(client, stage="stage1")
    assert curve(client, stored) == [(64, 1.0), (128, 0.5)]


@pytest.mark.parametrize(
    "how", [shutil.move, pytest.param(shutil.copytree, marks=pytest.mark.slow)]
)
def test_a_moved_checkout_has_its_artefacts_beside_it(root, migrated, how, monkeypatch):
    """In a folder whose name a URI would take for a query, and percent for an escape."""
    old, new = root / "old 1", root / "what? #1 is 50%41"
    old.mkdir()
    shutil.copy(migrated, old / "mlflow.db")
    with_file(old, "before")
    assert "3 records of 1 runs" in deliver_apart(old)
    how(old, new)
    with_file(new, "after")
    assert f"artefacts are looked for in {new / 'mlartifacts'}" in deliver_apart(new)
    monkeypatch.chdir(new)
    assert "artefacts" in deliver(".", patient=True)  # `msdd track` repeats what nobody saw, once
    assert "artefacts" not in deliver(".", patient=True)
    with closing(sqlite3.connect(new / "mlflow.db")) as database:
        stored = dict(database.execute("SELECT name, artifact_uri FROM runs"))
    for part in ("before", "after"):
        place = Path(unquote(urlsplit(stored[f"msdd/stage1/{part}"]).path))
        assert place.is_relative_to(new / "mlartifacts")
        assert (place / "config.json").read_text() == part
    assert sorted(path.name for path in root.iterdir() if path != old) == [new.name]


def test_a_folder_that_mlflow_would_mistake_is_refused(root, migrated):
    """As an empty or a moved checkout; artefacts never land in a folder of another name."""
    here = root / os.fsdecode(b"caf\xe9")
    here.mkdir()
    with_file(here, "before")
    for database in (None, migrated):
        if database:
            shutil.copy(database, here / "mlflow.db")
        with pytest.raises(MsddError, match=r"caf\\xe9 is not UTF-8.*; 1 runs wait"):
            deliver(here)
        assert [path for path in root.iterdir() if path.name.startswith("caf")] == [here]


def deliver_apart(root):
    """In a process of its own and there, as a stage starts it: MLflow keeps what it has opened."""
    command = [sys.executable, "-m", "msdd.tracking.delivery", root]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout


def with_file(root, part):
    (root / "config.json").write_text(part)
    with Run(root, "msdd", "stage1", PARAMS, part=part) as run:
        run.file(root / "config.json")


def test_mlflow_is_heard_out(root, monkeypatch):
    """MLflow 3.17 refuses folders as stores, and says in 500 characters what helps."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    train(root, (0,))
    with pytest.raises(MsddError, match="MLFLOW_ALLOW_FILE_STORE=true.*; 1 runs wait"):
        deliver(root)


def test_a_home_folder_in_a_tracking_uri(root, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    for given, meant in {
        "sqlite:///~/runs.db": "sqlite:////home/me/runs.db",
        "~/mlruns": "/home/me/mlruns",
        "sqlite:///a~b.db": "sqlite:///a~b.db",
        "http://host/~me": "http://host/~me",
    }.items():
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
        assert store.address(root) == meant
