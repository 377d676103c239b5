"""What was made with other params than the file has now."""

import shutil

import pytest
import yaml

from msdd.commands.stages import check_unedited, run_stage
from msdd.errors import MsddError
from msdd.page import document
from msdd.params.load import parse
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.pipeline.agreement import check_inputs, disagreements
from msdd.report import results

SCALE = layout.scale("msdd", "msdd-1step", 0)


def with_steps(params: Params, steps: int) -> Params:
    raw = params.raw()
    raw["distil"]["teacher_steps"] = steps
    return parse(raw)


def test_what_was_made_with_other_params_is_named_with_its_cure(tiny_params, trained):
    assert disagreements(tiny_params, trained) == []
    now = tiny_params.distil.teacher_steps
    found = disagreements(with_steps(tiny_params, now + 3), trained)
    assert found == [
        f"runs/msdd/msdd-1step/scale{k} was made with distil.teacher_steps {now}, which is "
        f"{now + 3} now: `msdd distil msdd-1step {k}` makes it again"
        for k in range(tiny_params.model.scales)
    ]


def test_no_table_is_made_of_it_and_the_page_says_so(tiny_params, trained):
    other = with_steps(tiny_params, 5)
    with pytest.raises(MsddError, match="`msdd distil msdd-1step 0` makes it again"):
        results.read(other, trained)
    absent = document.content(other, trained)["absent"]
    assert set(disagreements(other, trained)) <= set(absent)


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


def test_jobs_of_rows_that_are_gone_are_not_shown(tiny_params, trained):
    """Nor are their values compared."""
    raw = tiny_params.raw()
    raw |= {"students": {}, "ablations": {}}
    raw["decodes"] = {n: d for n, d in raw["decodes"].items() if d.get("of") == "msdd"}
    raw["throughput"]["systems"] = "all"
    params = parse(raw)
    assert disagreements(with_steps(params, 5), trained) == []
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
