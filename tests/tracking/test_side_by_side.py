"""What stands side by side in MLflow: decodes with their figures, models, datasets, the view."""

import shutil

import numpy as np
import pytest
from tracked import runs

from msdd.params.load import load
from msdd.pipeline.task import resolve
from msdd.tracking import view
from msdd.tracking.delivery import deliver
from msdd.tracking.run import open_run


@pytest.fixture
def tasks(root):
    """By decode of the preset `demo`: its evaluation, and a manifest that all of them read."""
    from pathlib import Path

    params = load(Path(__file__).parents[2] / "presets" / "demo.yaml")
    (root / "data/prepared").mkdir(parents=True)
    (root / "data/prepared/manifest.json").write_text("{}")
    return {name: resolve(params, "evaluate", root, decode=name) for name in params.decodes}


def evaluated(root, task, name, **figures):
    """The evaluation of a decode as the tracker hears of it."""
    options = {"root": root, "more": {"decode": {"nfe": 12}}, "measured": {name: task}}
    with open_run(task, "evaluate", name, **options) as run:
        run.log(0, figures)
        run.figures(figures)
        run.image("reconstructions", np.zeros((2, 8, 8, 3), np.uint8))
    return run


def compared(client):
    return {run.info.run_name: run for run in runs(client, group="comparison")}


def test_every_decode_has_its_figures_at_the_top(root, client, tasks):
    """The first decode of a row also gives them to the row; speed comes from another job."""
    for name, psnr in (("teacher-12-steps", 23.0), ("teacher", 24.0)):
        evaluated(root, tasks[name], name, psnr=psnr, **{"nanogan/psnr": np.inf})
    with open_run(tasks["teacher"], "throughput", root=root, measured=tasks) as run:
        run.figures({"images_per_second": 9.0, "gflop_per_image": 0.5}, "teacher")
    deliver(root)
    top = compared(client)
    assert top["teacher"].data.metrics == {
        "psnr": 24.0,
        "images_per_second": 9.0,
        "gflop_per_image": 0.5,
    }
    assert top["teacher-12-steps"].data.metrics == {"psnr": 23.0}
    assert top["teacher"].data.tags["nanogan/psnr"] == "∞"
    assert "mlflow.parentRunId" not in top["teacher"].data.tags
    assert top["teacher"].data.params["decode.nfe"] == "12"
    (row,) = runs(client, group="row", row="msdd")
    assert row.data.metrics["psnr"] == 24.0 and row.data.tags["decode"] == "teacher"
    (child,) = [run for run in runs(client, stage="evaluate") if "12" in run.info.run_name]
    assert child.data.tags["mlflow.parentRunId"] == top["teacher-12-steps"].info.run_id


def test_another_evaluation_replaces_figures_and_pictures(root, client, tasks):
    for psnr in (24.0, 25.0):
        evaluated(root, tasks["teacher"], "teacher", psnr=psnr)
        deliver(root)
    teacher = compared(client)["teacher"]
    assert teacher.data.metrics["psnr"] == 25.0
    files = client.list_artifacts(teacher.info.run_id, "images")
    assert [file.path for file in files] == [
        "images/reconstructions+step+0+timestamp+0+0+compressed.webp",
        "images/reconstructions+step+0+timestamp+0+0.png",
    ]
    assert teacher.data.tags["mlflow.loggedImages"] == "True"


def test_an_outbox_that_comes_back_is_delivered_once(root, client, tasks):
    evaluated(root, tasks["teacher"], "teacher", psnr=24.0)
    shutil.copytree(root / ".tracking/outbox", root / "dump")
    for _ in range(2):
        deliver(root)
        shutil.copytree(root / "dump", root / ".tracking/outbox", dirs_exist_ok=True)
    deliver(root)
    assert len(runs(client, group="comparison")) == len(runs(client, stage="evaluate")) == 1
    teacher = compared(client)["teacher"]
    assert len(client.get_metric_history(teacher.info.run_id, "psnr")) == 1


def test_images_are_a_dataset_by_content(root, client, tasks):
    evaluated(root, tasks["teacher"], "teacher", psnr=24.0)
    deliver(root)
    (dataset,) = compared(client)["teacher"].inputs.dataset_inputs
    digest = tasks["teacher"].inputs["data/prepared/manifest.json"]
    assert dataset.dataset.name == "data/prepared" and digest.startswith(dataset.dataset.digest)
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "evaluation")]


def test_the_view_grows_with_the_figures(root, client, tasks):
    evaluated(root, tasks["teacher"], "teacher", psnr=24.0, rfid=3.0)
    deliver(root)
    evaluated(root, tasks["student"], "student", psnr=24.0, ssim=0.5)
    deliver(root)
    tags = client.get_experiment_by_name("msdd").tags
    assert view.shown(tags[view.TAG]) == ["psnr", "ssim", "rfid"]
    assert view.shown("deflate;no view") == []


def test_text_stays_text(root, client, tasks):
    names = ["<img src=x onerror=alert(1)>", "\"quoted\" 'name' `here`", "שלום עולם"]
    for name in names:
        evaluated(root, tasks["teacher"], name, psnr=1.0)
    deliver(root)
    assert set(names) <= compared(client).keys()
