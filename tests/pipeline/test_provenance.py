"""Records: what a job writes of itself, what of it still holds, and what has none."""

import json
import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest
import torch

from msdd import cli
from msdd.commands.evaluate import origin
from msdd.commands.stages import run_stage
from msdd.errors import MsddError
from msdd.files import digest, read_json, write_text
from msdd.pipeline import environment, layout, provenance
from msdd.pipeline.stages import fingerprint
from msdd.pipeline.task import resolve
from msdd.tracking import delivery, store
from msdd.tracking import run as tracking
from msdd.tracking.whereabouts import whereabouts
from msdd.train import stage1

WEIGHTS = layout.stage1("msdd") / "model.safetensors"


def told(capsys, root, *arguments):
    """Exit code and output of `msdd provenance` in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        code = cli.main(["provenance", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_every_artefact_has_a_record_that_holds(trained):
    """And its digests are those of the files."""
    stages = set()
    places = [trained / layout.RUNS, trained / layout.prepared(), trained / layout.RECEIPTS]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        name = path.relative_to(trained)
        record = provenance.find(name, trained)
        assert record["made"][str(name)] == digest(path)
        assert all(
            file["unchanged"] for file in provenance.check(record["inputs"], trained).values()
        )
        stages.add(record["stage"])
    assert stages == {"prepare", "train", "distil", "assemble"}


def test_the_device_is_the_one_that_computes(monkeypatch):
    """Else times of a processor would stand in tables as those of the GPU beside it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    monkeypatch.delenv("MSDD_DEVICE", raising=False)
    assert environment.context()["device"] == "GPU None"  # the current one
    for device, name in (("cuda:1", "GPU cuda:1"), ("cpu", environment.cpu())):
        assert origin(torch.device(device))["provenance"]["device"] == name
    monkeypatch.setenv("MSDD_DEVICE", "cpu")
    assert environment.context()["device"] == environment.cpu()


def test_a_damaged_record_hides_no_other(trained, tmp_path):
    shutil.copytree(trained / layout.RECORDS, tmp_path / layout.RECORDS)
    (tmp_path / layout.RECORDS / "a.json").write_text("{")
    record = provenance.find(WEIGHTS, tmp_path)
    assert record == provenance.find(WEIGHTS, trained)
    place = tmp_path / layout.provenance(layout.stage1("msdd"))
    place.write_text("{")
    with pytest.raises(MsddError, match="stage1.json"):
        provenance.find(layout.stage1("msdd"), tmp_path)


def test_a_record_is_what_decided_the_result_and_the_circumstances(trained, tiny_params):
    record = provenance.find(WEIGHTS, trained)
    manifest = layout.prepared() / "manifest.json"
    assert record["wildcards"] == {"model": "msdd"}
    assert record["code"] == fingerprint("train")
    expected = resolve(tiny_params, "train", trained, model="msdd").params
    assert record["params"] == json.loads(json.dumps(expected))
    assert record["inputs"] == {str(manifest): digest(trained / manifest)}
    assert (record["engine"], record["rule"], record["run"]) == ("command line", None, None)
    assert record["threads"] == tiny_params.cpu_threads and record["seconds"] > 0
    assert record["versions"] == environment.versions() and "pieces" not in record


def test_a_folder_and_a_record_lead_to_the_same(trained):
    record = provenance.find(WEIGHTS, trained)
    for path in (WEIGHTS.parent, layout.provenance(WEIGHTS.parent)):
        assert provenance.find(path, trained) == record
    assert provenance.part(WEIGHTS.parent, record).keys() == {
        str(WEIGHTS.parent / file) for file in layout.TRAINING_FILES
    }


def test_what_has_changed_since_is_told(workdir, capsys):
    shard, manifest = layout.prepared() / "train/00000.npy", layout.prepared() / "manifest.json"
    assert "unchanged" in told(capsys, workdir, shard)[1]
    with open(workdir / shard, "ab") as file:
        file.write(b"x")
    (workdir / manifest).unlink()
    code, text = told(capsys, workdir, layout.prepared(), "--json")
    states = {name: file["unchanged"] for name, file in json.loads(text)["files"].items()}
    assert code == 0
    assert states.pop(str(shard)) is False
    assert states.pop(str(manifest)) is None
    assert set(states.values()) == {True}
    assert "changed since" in told(capsys, workdir, workdir / shard)[1]


def test_a_person_can_read_it(trained, capsys):
    code, text = told(capsys, trained, layout.scale("msdd", "msdd-1step", 1) / "curves.csv")
    facts = dict(line.split("  ", 1) for line in text.splitlines() if "  " in line.strip())
    assert code == 0
    assert facts["stage"].strip() == "distil scale=1, student=msdd-1step"
    assert facts["MLflow"].strip() == "none"
    for name in ("distil.teacher_steps", "runs/msdd/stage1/model.safetensors", "torch"):
        assert name in text


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("runs/msdd/stage1/absent", "there is no runs/msdd/stage1/absent, and no record of one"),
        ("params.yaml", "params.yaml was not made by a stage of this pipeline"),
        ("runs/notes.txt", "runs/notes.txt was not made by a stage"),
        ("reports/published.yaml", "not made by a stage of this pipeline: figures from papers"),
        ("checkpoints/x", "the state of a job that is not finished"),
        ("reports/table2.csv", "has no record: it was made before there were any"),
        ("runs/old/stage1/model.safetensors", "has no record: it was made before there were any"),
        ("runs/old", "runs/old is not the folder of a single job"),
    ],
)
def test_what_has_no_record_is_one_line(tmp_path, capsys, path, line):
    for name in ("params.yaml", "runs/notes.txt", "reports/published.yaml", "checkpoints/x"):
        write_text(tmp_path / name, "")
    for name in ("reports/table2.csv", "runs/old/stage1/model.safetensors"):
        write_text(tmp_path / name, "")
    code, text = told(capsys, tmp_path, path)
    assert code == 1
    assert text.count("\n") == 1 and line in text


@pytest.mark.parametrize(
    ("environment", "engine", "rule"),
    [
        ({"MSDD_ENGINE": "snakemake"}, "snakemake", "train"),
        ({"DVC_STAGE": "train@msdd"}, "dvc", "train@msdd"),
        ({}, "command line", None),
    ],
)
def test_engine_and_rule_are_named(tmp_path, tiny_params, monkeypatch, environment, engine, rule):
    for name in ("MSDD_ENGINE", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    job = resolve(tiny_params, "train", tmp_path, model="msdd")
    with provenance.recorded(job, Path("runs/a"), [Path("runs/a/made")], tmp_path):
        write_text(tmp_path / "runs/a/made", "made")
    record = read_json(tmp_path / layout.provenance(Path("runs/a")))
    assert (record["engine"], record["rule"]) == (engine, rule)


def test_a_job_that_fails_has_no_record(tiny_params, tmp_path):
    job = resolve(tiny_params, "prepare", tmp_path)
    with pytest.raises(MsddError), provenance.recorded(job, layout.prepared(), [], tmp_path):
        raise MsddError("no photographs")
    assert not (tmp_path / layout.RECORDS).exists()


def test_an_interrupted_training_tells_its_pieces(workdir, tiny_params, monkeypatch):
    """The first counts up to its checkpoint after 128 images, which is when it was written."""
    losses, steps = stage1.losses, iter(range(5))

    def failing(*arguments):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return losses(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage1, "losses", failing)
        run_stage(tiny_params, "train", workdir, model="msdd")
    aside = workdir / layout.checkpoint(layout.stage1("msdd"))
    (begun,) = read_json(aside / "pieces.json")["pieces"]
    began = datetime.fromisoformat(begun["started"]).timestamp()
    os.utime(aside / "checkpoint.pt", (began + 100, began + 100))
    run_stage(tiny_params, "train", workdir, model="msdd")

    record = provenance.find(WEIGHTS, workdir)
    first, second = record["pieces"]
    assert (first["images_before"], second["images_before"]) == (0, 128)
    assert first["seconds"] == 100 and 0 < second["seconds"] < 100
    assert record["seconds"] == first["seconds"] + second["seconds"]
    assert sorted(path.name for path in aside.iterdir()) == ["lock", "train.log"]


def test_the_run_is_found_in_mlflow(tmp_path, monkeypatch):
    monkeypatch.setenv("MSDD_TRACKING", "on")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "flush", lambda *_, **__: None)
    with tracking.Run(tmp_path, "msdd", "stage1", {}) as run:
        pass
    told = run.identity
    assert whereabouts(told, tmp_path)["status"].startswith("not delivered yet")
    assert not (tmp_path / "mlflow.db").exists()
    delivery.deliver(tmp_path)
    found = whereabouts(told, tmp_path)
    info = store.client_at(store.address(tmp_path)).get_run(found["id"]).info
    assert (info.run_name, found["status"]) == ("msdd/stage1", "finished")
    assert found["page"].endswith(f"/runs/{info.run_id}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert "does not answer" in whereabouts(told, tmp_path)["status"]
