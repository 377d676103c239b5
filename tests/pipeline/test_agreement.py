"""What was made with other params than the file has now."""

import shutil
from pathlib import Path

import pytest
import yaml

from msdd.commands.stages import check_unedited, run_stage
from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.page import document
from msdd.params.load import parse
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.pipeline.agreement import check_inputs, disagreements
from msdd.pipeline.jobs import named
from msdd.report import curves, results

SCALE = layout.scale("msdd", "msdd-1step", 0)


def with_steps(params: Params, steps: int) -> Params:
    raw = params.raw()
    raw["distil"]["teacher_steps"] = steps
    return parse(raw)


def of_all_jobs(params: Params, root: Path) -> list[str]:
    made = (job.artefact for job in named(params))
    return disagreements(params, root, [*made, layout.throughput()])


def test_what_was_made_with_other_params_is_named_with_its_cure(tiny_params, trained):
    assert of_all_jobs(tiny_params, trained) == []
    now = tiny_params.distil.teacher_steps
    found = of_all_jobs(with_steps(tiny_params, now + 3), trained)
    assert found == [
        f"runs/msdd/msdd-1step/scale{k} was made with distil.teacher_steps {now}, which is "
        f"{now + 3} now: `msdd distil msdd-1step {k}` makes it again"
        for k in range(tiny_params.model.scales)
    ]


def test_no_table_is_made_of_it_and_the_page_says_so(tiny_params, trained):
    other = with_steps(tiny_params, 5)
    with pytest.raises(MsddError, match="`msdd distil msdd-1step 0` makes it again"):
        results.read(other, trained, curves.files(other))
    absent = document.content(other, trained)["absent"]
    assert set(of_all_jobs(other, trained)) <= set(absent)


def test_no_stage_goes_on_from_what_other_params_have_made(tiny_params, trained, tmp_path):
    """Its record and its run in MLflow would tell of values that nothing was made with."""
    root = tmp_path / "work"
    shutil.copytree(trained, root)
    raw = tiny_params.raw()
    raw["data"]["min_contrast"] = 0.3
    other = parse(raw)
    told = r"^data/prepared was made with data.min_contrast .*: `msdd prepare` makes it again$"
    for job in (("train", {"model": "msdd"}), ("distil", {"student": "msdd-1step", "scale": 0})):
        with pytest.raises(MsddError, match=told):
            run_stage(other, job[0], root, **job[1])
    with pytest.raises(MsddError, match="`msdd distil msdd-1step 0` makes it again"):
        run_stage(with_steps(tiny_params, 5), "evaluate", root, decode="student")
    (root / layout.provenance(layout.prepared())).unlink()  # then nothing is known
    check_inputs(other, ["data/prepared/manifest.json"], root)


def test_what_was_made_of_what_is_made_anew_is_named(tiny_params, trained, tmp_path):
    """No figure shows new crops above the reconstructions of earlier ones."""
    root = shutil.copytree(trained, tmp_path / "work")
    raw = tiny_params.raw()
    raw["data"]["crop_side"] = [0.3, 0.8]
    other = parse(raw)
    run_stage(other, "prepare", root)
    told = "was made with an earlier data/prepared/manifest.json: `msdd"
    found = of_all_jobs(other, root)
    assert found == [
        f"runs/msdd/stage1 {told} train msdd` makes it again",
        *(
            f"runs/msdd/msdd-1step/scale{k} {told} distil msdd-1step {k}` makes it again"
            for k in (0, 1)
        ),
    ]
    with pytest.raises(MsddError, match="`msdd train msdd` makes it again"):
        run_stage(other, "distil", root, student="msdd-1step", scale=0)
    run_stage(tiny_params, "prepare", root)  # the same bits again
    assert of_all_jobs(tiny_params, root) == []


def test_a_student_that_another_stage_makes_now_is_named(tiny_params, trained):
    raw = tiny_params.raw()
    raw["students"] = {"msdd-1step": {"model": "msdd", "mode": "joint"}}
    raw["decodes"] = {"student": {"of": "msdd-1step"}}
    assert of_all_jobs(parse(raw | {"ablations": {}}), trained) == [
        'runs/msdd/msdd-1step was made with stage "assemble", which is "chain" now: '
        "`msdd chain msdd-1step` makes it again"
    ]


def test_rows_that_a_report_does_not_show_do_not_keep_it(tiny_params, trained):
    """A student without a decode: an engine may write tables before it is trained again."""
    other = with_steps(tiny_params, 5)
    assert disagreements(other, trained, ["runs/msdd/stage1/curves.csv"]) == []
    assert len(disagreements(other, trained, ["runs/msdd/msdd-1step/model.safetensors"])) == 2


def test_the_page_is_silent_of_a_student_that_it_does_not_show(tiny_params, trained, tmp_path):
    """An engine may assemble one without a decode after the page, and not write that again."""
    root, raw = shutil.copytree(trained, tmp_path / "work"), tiny_params.raw()
    decodes = {"teacher": raw["decodes"]["teacher"]}
    params = parse(raw | {"decodes": decodes, "ablations": {}})
    place = root / layout.provenance(layout.assembled("msdd", "msdd-1step"))
    record = read_json(place)
    record["inputs"][f"{SCALE}/model.safetensors"] = "0" * 64
    write_json(place, record)
    (told,) = of_all_jobs(params, root)
    assert "msdd assemble" in told and told not in document.content(params, root)["absent"]


def test_records_of_other_jobs_are_not_read(tiny_params, trained, tmp_path):
    """They may be damaged, or just being replaced."""
    root = shutil.copytree(trained, tmp_path / "work")
    (root / layout.provenance(SCALE)).write_text("{")
    check_inputs(tiny_params, ["runs/msdd/stage1/model.safetensors"], root)
    with pytest.raises(MsddError, match="scale0.json"):
        check_inputs(tiny_params, ["runs/msdd/msdd-1step/model.safetensors"], root)


def test_a_model_that_came_without_its_record_is_not_taken_for_a_later_one(
    tiny_params, trained, tmp_path
):
    """As by `dvc pull` of one file: else what was made of it could never be made up to date."""
    root, model = shutil.copytree(trained, tmp_path / "work"), "runs/msdd/stage1/model.safetensors"
    record = read_json(place := root / layout.provenance(layout.stage1("msdd")))
    record["made"][model] = "0" * 64
    write_json(place, record)
    assert of_all_jobs(tiny_params, root) == []
    (root / model).write_bytes(b"another")
    assert len(of_all_jobs(tiny_params, root)) == tiny_params.model.scales + 1


def test_speeds_of_other_decodes_are_named(tiny_params, trained, tmp_path):
    """Weights that are trained again are as fast as before."""
    root = shutil.copytree(trained, tmp_path / "work")
    record = read_json(root / layout.provenance(layout.stage1("msdd")))
    model = dict.fromkeys((f"runs/msdd/stage1/{name}" for name in layout.MODEL_FILES), "0" * 64)
    decodes = {"teacher": {"of": "msdd", "steps": 8}}
    record |= {"stage": "throughput", "params": {"decodes": decodes}, "inputs": model, "made": {}}
    write_json(root / layout.provenance(layout.throughput()), record)
    assert of_all_jobs(tiny_params, root) == []  # it has no file
    write_json(root / layout.throughput(), {})
    assert of_all_jobs(tiny_params, root) == [
        "reports/throughput.json was made with decodes.teacher.steps 8, which is 4 now, an earlier "
        "runs/msdd/stage1/config.json: `msdd throughput` makes it again"
    ]


def test_jobs_of_rows_that_are_gone_are_not_shown(tiny_params, trained):
    """Nor are their values compared."""
    raw = tiny_params.raw()
    raw |= {"students": {}, "ablations": {}}
    raw["decodes"] = {n: d for n, d in raw["decodes"].items() if d.get("of") == "msdd"}
    raw["throughput"]["systems"] = "all"
    params = parse(raw)
    assert of_all_jobs(with_steps(params, 5), trained) == []
    shown = document.history.records(params, trained)
    assert {"data/prepared", "runs/msdd/stage1"} == {one["artefact"] for one in shown}
    assert len(document.history.records(tiny_params, trained)) > 2


def test_an_edit_during_a_job_of_dvc_is_an_error_if_it_is_the_job_s(tiny_params, tmp_path):
    """DVC would record the new value for what the old one has made."""
    file, raw = tmp_path / "params.yaml", tiny_params.raw()
    raw["distil"] |= {"learning_rate": 0.5}
    file.write_text(yaml.safe_dump(raw))
    check_unedited(file, tiny_params, "train", {"model": "msdd"})
    told = r"params.yaml was edited while this ran, .*: distil.learning_rate .*, which is 0.5 now"
    with pytest.raises(MsddError, match=told):
        check_unedited(file, tiny_params, "distil", {"student": "msdd-1step", "scale": 0})
