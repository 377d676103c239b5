"""Experiments of DVC: a queue that works in copies of the checkout, and what compares them."""

import sqlite3
from contextlib import chdir, closing

import pytest
from checkouts import run
from dvc.repo import Repo

TRACKED = {"MSDD_TRACKING": "on"}
QUEUE = ("dvc", "exp", "run", "--queue", "--set-param", "decodes.teacher.steps=6,8")


@pytest.mark.slow
def test_a_queue_fills_the_one_database(runs):
    """Two experiments at once, each in a copy that is deleted afterwards."""
    folder, _ = runs["dvc"]
    run(folder, *QUEUE, "evaluate@teacher", **TRACKED)
    run(folder, "dvc", "exp", "run", "--run-all", "--jobs", "2", **TRACKED)
    run(folder, "msdd", "track", **TRACKED)
    with chdir(folder), Repo() as repo:
        names = {name for found in repo.experiments.ls().values() for name, _ in found}
        steps, psnr = differences(repo, *sorted(names))
    assert experiments(folder / "mlflow.db") == {(name, "FINISHED") for name in names}
    assert steps == {6, 8}
    assert psnr["diff"] != 0


def differences(repo, a, b):
    """What `dvc params diff` and `dvc metrics diff` tell of two experiments."""
    params = repo.params.diff(a, b)["diff"]["params.yaml"]["decodes.teacher.steps"]
    metrics = repo.metrics.diff(a, b)["diff"]["runs/msdd/stage1/eval/teacher.json"]
    return {params["old"], params["new"]}, metrics["protocols.primary.metrics.psnr.mean"]


def experiments(database):
    """Name of the experiment and status of every run that belongs to one."""
    query = "SELECT value, status FROM runs JOIN tags USING (run_uuid) WHERE key = 'experiment'"
    with closing(sqlite3.connect(database)) as opened:
        return set(opened.execute(query))


def test_every_plot_has_data(runs):
    """Those of dvc.yaml, and the curve of every training."""
    theirs, _ = runs["dvc"]
    with chdir(theirs), Repo() as repo:
        shown = repo.plots.show()["workspace"]
        drawn = repo.index.plots
    assert not errors(shown)
    paths = {plot.def_path for plot in drawn}
    assert {path for path in paths if path.endswith("curves.csv")} == {
        f"runs/msdd/{name}/curves.csv"
        for name in ("stage1", "msdd-1step/scale0", "msdd-1step/scale1", "finetuned")
    }
    assert paths | {"reports/table2.csv", "reports/reconstructions.png"} == (
        shown["sources"]["data"].keys()
    )


def errors(value):
    """All errors in DVC's tree of plots."""
    if not isinstance(value, dict):
        return []
    own = [value["error"]] if "error" in value else []
    return own + [error for child in value.values() for error in errors(child)]
