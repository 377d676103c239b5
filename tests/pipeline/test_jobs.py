"""Tables of jobs, whose cost grows with the rows and not with their square; and what is missing."""

import cProfile
import pstats
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

from msdd.errors import MsddError
from msdd.params.load import parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import jobs, layout, receipts
from msdd.pipeline.jobs import missing

TINY = read_yaml(Path(__file__).parents[2] / "presets/tiny.yaml")
MORE = {
    "per_scale": {"model": "msdd"},
    "joint": {"model": "msdd", "mode": "joint"},
    "finetune": {"model": "msdd", "mode": "finetune", "start": "msdd-1step"},
}


def calls(count, row, path):
    """Functions called to check params with `count` more students and decodes, and to expand."""
    names = [f"more-{i}" for i in range(count)]
    students = TINY["students"] | {name: row for name in names}
    decodes = TINY["decodes"] | {f"of-{name}": {"of": name} for name in names}
    pairs = {
        f"of-{name}": {"question": "?", "of": f"of-{name}", "against": "teacher", "expect": None}
        for name in names
    }
    raw = TINY | {"students": students, "decodes": decodes, "ablations": pairs}
    with cProfile.Profile() as profile:
        params = parse(raw)
        jobs.expand(params, path)
        jobs.check_rows(params, path)
    return pstats.Stats(profile).total_calls


def test_rows_mean_the_same_to_every_reader():
    """Also of names that YAML 1.1 takes for a bool, and either version for a number."""
    names = ["off", "12", "010", "1-2"]
    students = TINY["students"] | dict.fromkeys(names, MORE["per_scale"])
    params = parse(TINY | {"students": students})
    text, wanted = jobs.text(params), {"rows": jobs.rows(params)}
    assert yaml.safe_load(text) == YAML(typ="safe").load(text) == wanted
    assert {f"{name}-scale1" for name in names} < wanted["rows"]["scales"].keys()
    assert wanted["rows"]["order"]["students"] == list(students)


def test_files_that_are_no_text_are_outdated_and_written_anew(tmp_path):
    """As a damaged disk leaves them."""
    params = parse(TINY)
    jobs.expand(params, tmp_path)
    rows, hidden = tmp_path / layout.rows(), tmp_path / receipts.HIDDEN
    hidden.parent.mkdir()
    for path in (rows, hidden):
        path.write_bytes(b"rows: \xff")
    with pytest.raises(MsddError, match="rows.yaml is outdated: run `msdd params expand`"):
        jobs.check_rows(params, tmp_path)
    assert jobs.expand(params, tmp_path)
    jobs.check_rows(params, tmp_path)
    assert hidden.read_text() == ""


@pytest.mark.parametrize("mode", MORE)
def test_four_times_the_rows_are_four_times_the_work(mode, tmp_path):
    (tmp_path / "workflow").mkdir()
    few, many = (calls(count, MORE[mode], tmp_path) for count in (50, 200))
    assert many < 4.2 * few


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("photos", "there is no folder photos;"),
        ("a.tar", "there is no archive a.tar;"),
        ("a-{0..2}.tar", "there is no archive a-{0..2}.tar;"),
        ("*.parquet", "there is no archive *.parquet;"),
    ],
)
def test_photographs_that_are_not_there_yet_are_told(tiny_params, tmp_path, value, told):
    data = tiny_params.data.model_copy(update={"photographs": value})
    params = tiny_params.model_copy(update={"data": data})
    (line,) = missing(params, tmp_path)
    assert told in line
    for name in ("a.tar", "a-0.tar", "a-2.tar", "b.parquet"):
        (tmp_path / name).touch()
    if "{" in value:
        (line,) = missing(params, tmp_path)
        assert "there is no archive a-1.tar;" in line
    (tmp_path / "a-1.tar").touch()
    (tmp_path / "photos").mkdir()
    assert missing(params, tmp_path) == []
