"""Tables of jobs: their cost grows with the rows, not with their square."""

import cProfile
import pstats
from pathlib import Path

import pytest

from msdd.params.load import parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import jobs

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


@pytest.mark.parametrize("mode", MORE)
def test_four_times_the_rows_are_four_times_the_work(mode, tmp_path):
    (tmp_path / "workflow").mkdir()
    few, many = (calls(count, MORE[mode], tmp_path) for count in (50, 200))
    assert many < 4.2 * few
