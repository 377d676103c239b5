import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tracked import PARAMS, curve, runs, train

from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params.load import load
from msdd.pipeline.task import resolve
from msdd.tracking import run as tracking
from msdd.tracking import store
from msdd.tracking.delivery import deliver
from msdd.tracking.outbox import folder
from msdd.tracking.parents import of_row
from msdd.tracking.run import Run
from msdd.tracking.sending import Delivery


def test_a_row_is_a_parent_with_its_stages_under_it(root, client):
    train(root, (0, 64, 128), tags={"data": "abc"})
    own = {"distil": {"batch": 8}}
    for scale in (0, 1):
        tags = {"model": "msdd", "scale": scale}
        row = [of_row("msdd-1step", PARAMS, {"model": "msdd"})]
        options = {"part": f"scale{scale}", "tags": tags, "parents": row}
        with Run(root, "msdd-1step", "distil", own, **options) as run:
            run.log(8, {"loss": 2.0})
    deliver(root)

    (model,) = [run for run in runs(client, row="msdd") if run.info.run_name == "msdd"]
    (stage1,) = runs(client, stage="stage1")
    assert stage1.data.tags["mlflow.parentRunId"] == model.info.run_id
    assert stage1.info.run_name == "msdd/stage1" and stage1.info.status == "FINISHED"
    assert stage1.data.tags["data"] == "abc" and "device" in stage1.data.tags
    assert stage1.data.params == {
        "seed": "0",
        "stage1.batch": "64",
        "stage1.betas": "[0.9, 0.95]",
        "stage1.loss_weight": "none",
    }
    assert curve(client, stage1) == [(0, 1.0), (64, 1 / 65), (128, 1 / 129)]
    assert len(curve(client, stage1, "system/system_memory_usage_percentage")) == 3
    students = runs(client, stage="distil")
    assert {run.info.run_name for run in students} == {
        "msdd-1step/distil/scale0",
        "msdd-1step/distil/scale1",
    }
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in students}
    assert client.get_run(parent).data.tags["model"] == "msdd"
    assert client.get_run(parent).info.status == "FINISHED"
    assert not list(folder(root).iterdir())


@pytest.mark.parametrize("call", ["log_batch", "log_dict"])
def test_runs_that_are_half_made_are_completed(root, client, monkeypatch, call):
    """As where the server, or its store of files, goes away between two requests."""
    from mlflow import MlflowClient

    def gone(*_, **__):
        raise ConnectionError("gone")

    train(root, (0,))
    with monkeypatch.context() as away:
        away.setattr(MlflowClient, call, gone)
        with pytest.raises(MsddError, match="gone"):
            deliver(root)
    deliver(root)
    for run in runs(client, **{"msdd.whole": "true"}):
        assert run.data.params["seed"] == "0"
        assert "params.yaml" in [one.path for one in client.list_artifacts(run.info.run_id)]
    assert len(runs(client, **{"msdd.whole": "true"})) == len(runs(client, row="msdd")) == 2


def test_parent_runs_as_long_as_one_of_its_stages(root, client):
    first = Run(root, "msdd", "distil", PARAMS, part="scale0").__enter__()
    second = Run(root, "msdd", "distil", PARAMS, part="scale1").__enter__()
    deliver(root)
    for run, status in ((first, "RUNNING"), (second, "FINISHED")):
        run.__exit__(None)
        deliver(root)
        (parent,) = [one for one in runs(client, row="msdd") if one.info.run_name == "msdd"]
        assert parent.info.status == status


def test_a_run_has_the_params_of_its_row_and_more(root):
    params = load(Path(__file__).parents[2] / "presets" / "demo.yaml")
    task = resolve(params, "distil", root, student="msdd-1step", scale=0)
    with tracking.open_run(task, "distil", "scale0", root=root, more={"x": 1}) as run:
        record = read_json(run.folder / "run.json")
    assert record["name"] == "msdd-1step/distil/scale0"
    assert record["tags"]["model"] == "msdd" and record["params"]["x"] == 1
    (parent,) = record["parents"]
    row = parent["params"]
    assert row["distil"]["guidance"] == 1.5 and row["data"]["resolution"] == 32
    assert "x" not in row


def test_pictures_and_files_become_artefacts_as_they_were_when_told(root, client):
    np.save(root / "teacher.samples.npy", np.zeros((10, 32, 32, 3), np.uint8))
    (root / "config.json").write_text("first")
    with Run(root, "msdd", "evaluate", PARAMS, part="teacher") as run:
        run.image("reconstructions", root / "teacher.samples.npy")
        run.file(root / "config.json", "model")
        (root / "new").write_text("second")
        os.replace(root / "new", root / "config.json")
    deliver(root)
    (run,) = runs(client, stage="evaluate")
    folder = Path(client.download_artifacts(run.info.run_id, ""))
    assert folder.is_relative_to(root / "mlartifacts")
    assert (folder / "model" / "config.json").read_text() == "first"
    from PIL import Image

    stem = folder / "images" / "reconstructions+step+0+timestamp+0+0"
    with Image.open(f"{stem}.png") as picture:
        assert picture.size == (4 * 128, 3 * 128)
    assert "batch: 64" in (folder / "params.yaml").read_text()


@pytest.mark.parametrize("before", [0, 1])
def test_delivering_again_after_an_interruption_duplicates_nothing(
    root, client, monkeypatch, before
):
    def killed(*_):
        raise RuntimeError("killed between sending and noting it")

    with Run(root, "msdd", "stage1", PARAMS) as run:
        run.log(64, {"loss": 1.0})
        if before:
            deliver(root)
            assert deliver(root).startswith("0 records")
        run.log(128, {"loss": 0.5})
        with monkeypatch.context() as broken:
            broken.setattr(Delivery, "_save", killed)
            with pytest.raises(MsddError, match="killed between"):
                deliver(root)
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    assert curve(client, stored) == [(64, 1.0), (128, 0.5)]
    assert len(runs(client, row="msdd")) == 2  # the stage and its parent


def test_resumed_stage_continues_its_run(root, client):
    with pytest.raises(KeyboardInterrupt), Run(root, "msdd", "stage1", PARAMS) as run:
        for step in (0, 64, 128):  # the last checkpoint was at 64
            run.log(step, {"loss": 1 / (1 + step)})
        raise KeyboardInterrupt
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    assert stored.info.status == "FAILED"
    with open(run.folder / "events.jsonl", "a") as file:
        file.write('{"time": 1, "st')  # what a killed process leaves
    train(root, (64, 128, 192), resumed=True)
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    assert stored.info.status == "FINISHED"
    assert curve(client, stored) == [(step, 1 / (1 + step)) for step in (0, 64, 128, 192)]


def test_a_job_that_is_queued_again_continues_its_run(root, client, tmp_path_factory, monkeypatch):
    """Killed before its first checkpoint, and begun again on a host with other paths."""
    first = Run(root, "msdd", "stage1", PARAMS, job="abc").__enter__()
    first.log(64, {"loss": 1.0})
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    link = tmp_path_factory.mktemp("mount") / "work"
    link.symlink_to(root)
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    train(link, (64, 128), job="abc")
    deliver(root)
    (again,) = runs(client, stage="stage1")
    assert again.info.run_id == stored.info.run_id and again.info.status == "FINISHED"
    assert curve(client, again) == [(64, 1.0), (128, 1 / 129)]
    train(root, (64,), job="abc")  # a finished run is never reopened
    Run(root, "msdd", "stage1", PARAMS, job="abc").__enter__()
    train(root, (64,), job="another code")
    deliver(root)
    statuses = sorted(run.info.status for run in runs(client, stage="stage1"))
    assert statuses == ["FINISHED", "FINISHED", "FINISHED", "KILLED"]


def test_fresh_start_is_a_new_run_and_closes_the_abandoned_one(root, client):
    first = Run(root, "msdd", "stage1", PARAMS)
    first.__enter__()
    first.log(0, {"loss": 3.0})
    train(root, (0,))
    deliver(root)
    assert sorted(run.info.status for run in runs(client, stage="stage1")) == ["FINISHED", "KILLED"]
    assert not list(folder(root).iterdir())


def test_four_processes_deliver_at_once_into_a_new_database(root):
    code = """if True:
        import sys
        from msdd.tracking import run as tracking
        from msdd.tracking.delivery import deliver
        tracking.flush = lambda *_, **__: None
        with tracking.Run(sys.argv[1], "msdd", "distil", {"a": 1}, part=sys.argv[2]) as run:
            for step in range(400):
                run.log(step, {"loss": 1.0})
        print(deliver(sys.argv[1]))"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(root), f"scale{k}"]) for k in range(4)
    ]
    assert [process.wait(300) for process in processes] == [0] * 4
    from mlflow import MlflowClient

    client = MlflowClient(store.address(root))
    children = runs(client, stage="distil")
    assert sorted(len(curve(client, run)) for run in children) == [400] * 4
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    assert len(runs(client, row="msdd")) == 5
    assert not list(folder(root).iterdir())


def test_server_that_is_down_costs_nothing_and_loses_nothing(root, client, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        train(root, range(0, 640, 64))
        with monkeypatch.context() as patch, pytest.raises(MsddError, match="refused") as down:
            patch.setitem(sys.modules, "mlflow", None)  # it is told before the slow import
            deliver(root)
    assert "\n" not in str(down.value) and "1 runs wait in .tracking/outbox" in str(down.value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    assert len(curve(client, stored)) == 10


def test_bad_record_does_not_keep_the_others(root, client):
    with Run(root, "msdd", "a", PARAMS) as run:
        run.log(0, {"a name that MLflow refuses: ü?": 1.0})
    train(root, (0,))
    with pytest.raises(MsddError, match="1 runs wait"):
        deliver(root)
    assert len(runs(client, stage="stage1")) == 1
    assert len(list(folder(root).iterdir())) == 1


def test_stage_imports_no_mlflow_and_does_not_wait(root):
    code = """if True:
        import subprocess, sys
        from msdd.tracking.run import Run
        with Run(sys.argv[1], "msdd", "stage1", {}) as run:
            run.log(0, {"loss": 1.0})
            subprocess.Popen.wait = subprocess.Popen.communicate = None  # whoever waits fails
            for step in range(1, 200):
                run.log(step, {"loss": 1.0})
        assert not any(name.split(".")[0] == "mlflow" for name in sys.modules)"""
    command = [sys.executable, "-c", code, str(root)]
    subprocess.run(command, check=True)
    log = root / ".tracking" / "delivery.log"
    patience = time.monotonic() + 300  # the delivery in the background has a database to make
    while time.monotonic() < patience and list(folder(root).iterdir()):
        time.sleep(0.2)
    assert not list(folder(root).iterdir()), log.read_text()
    assert "INFO" not in log.read_text()


def test_infinity_is_a_tag_because_mlflow_stores_another_number(root, client):
    with Run(root, "msdd", "evaluate", PARAMS) as run:
        run.log(0, {"psnr": np.inf, "ssim/psnr": -np.inf, "ssim": 1.0})
    deliver(root)
    (stored,) = runs(client, stage="evaluate")
    assert (stored.data.tags["psnr"], stored.data.tags["ssim/psnr"]) == ("∞", "-∞")
    assert stored.data.metrics["ssim"] == 1 and "psnr" not in stored.data.metrics


def test_off_writes_nothing(root, monkeypatch):
    monkeypatch.setenv("MSDD_TRACKING", "off")
    train(root, (0, 64))
    assert not list(root.iterdir())


def test_long_values_and_many_parameters_arrive(root, client):
    params = {f"p{k}": k for k in range(250)} | {"long": "x" * 7000}
    with Run(root, "msdd", "stage1", params):
        pass
    deliver(root)
    (stored,) = runs(client, stage="stage1")
    assert len(stored.data.params) == 251 and len(stored.data.params["long"]) == 6000


def test_copies_of_a_checkout_share_an_outbox(root, client, monkeypatch):
    """Experiments of DVC's queue: one is at work, one is gone without a word, a third begins."""
    monkeypatch.setenv("DVC_ROOT", str(root))
    copies = [root / ".dvc/tmp/exps" / name for name in ("working", "gone", "new")]
    for copy in copies[:2]:
        copy.mkdir(parents=True)
        monkeypatch.setenv("DVC_EXP_NAME", copy.name)
        Run(copy, "msdd", "stage1", PARAMS).__enter__()
    copies[1].rmdir()
    monkeypatch.setenv("DVC_EXP_NAME", "new")
    train(copies[2], (0,))
    deliver(root)
    found = {run.data.tags["experiment"]: run.info.status for run in runs(client, stage="stage1")}
    assert found == {"working": "RUNNING", "gone": "KILLED", "new": "FINISHED"}
