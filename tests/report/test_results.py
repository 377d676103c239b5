"""Reports of `msdd evaluate` as tables read them: one protocol, its pooling, old files."""

import math

import numpy as np
import pytest

from msdd.errors import MsddError
from msdd.files import write_json
from msdd.metrics.intervals import paired_difference
from msdd.report import notes
from msdd.report.results import psnr_difference, read_evaluation


def report(pool, decibels: list, **more) -> dict:
    entry = {
        "preparation": "",
        "protocol": {"psnr": {"quantisation": "round", "pool": pool}},
        "metrics": {"psnr": {"mean": None, "low": None, "high": None, "infinite": True}},
        "per_image": {"psnr": decibels},
    }
    other = {"protocol": {}, "metrics": {"fd_inception": 1.5}, "per_image": {}, "preparation": ""}
    names = list(map(str, range(len(decibels))))
    of = {"names": names, "digest": "", "protocol": "ssdd"}
    return of | {"protocols": {"ssdd": entry, "dito": other}} | more


def read(path, *arguments, protocol=None, **more) -> dict:
    write_json(path, report(*arguments, **more))
    return read_evaluation(path, protocol)


def test_one_protocol_stands_for_all(tmp_path):
    """The one named, else the first; null is infinity."""
    found = read(tmp_path / "a.json", 1, [30.0, None], decode="teacher")
    assert found["decode"] == "teacher" and found["protocol"] == "ssdd"
    assert found["metrics"]["psnr"] == {"mean": math.inf, "low": None, "high": None}
    assert found["per_image"]["psnr"] == [30.0, math.inf]
    found = read(tmp_path / "a.json", 1, [], protocol="dito")
    assert found["protocol"] == "dito" and found["metrics"] == {"fd_inception": 1.5}


@pytest.mark.parametrize("pool", [1, 2, "all"])
def test_a_difference_is_that_of_the_pooled_psnrs(tmp_path, pool):
    """Not the mean over images where the protocol pools their errors."""
    sides = [30.0, 20.0, 25.0, 35.0] * 5, [28.0, 22.0, 21.0, 33.0] * 5
    a, b = (read(tmp_path / "x.json", pool, side) for side in sides)
    size = 20 if pool == "all" else pool
    errors = [(10 ** (-np.array(side) / 10)).reshape(-1, size).mean(1) for side in sides]
    expected = np.subtract(*(-10 * np.log10(side) for side in errors)).mean()
    difference, low, high = psnr_difference(a, b)
    assert difference == pytest.approx(expected, rel=1e-12) and low <= difference <= high


def test_a_difference_is_over_photographs_where_they_are_many(tmp_path):
    photographs = [k // 2 for k in range(80)]
    one, two = np.random.default_rng(0).normal(30, 3, (2, 40)).repeat(2, 1).tolist()
    ends = {}
    for name, more in {"crops": {}, "photographs": {"photographs": photographs}}.items():
        a, b = (read(tmp_path / "x.json", 1, side, **more) for side in (one, two))
        ends[name] = psnr_difference(a, b)
        assert ends[name] == paired_difference(one, two, more.get("photographs"))
    assert ends["crops"][0] == ends["photographs"][0]
    assert np.ptp(ends["photographs"][1:]) > 1.3 * np.ptp(ends["crops"][1:])


def test_notes_say_what_the_interval_of_a_pooled_psnr_is_over(finished):
    """Not over photographs, over which those of other metrics are."""
    result = {"images": 48, "pool": 5, "photographs": list(range(48))}
    assert "over the photographs" in notes.intervals([result], finished[1])
    assert "5 crops each: 10 groups, over them are" in notes.intervals([result], finished[1])
    assert "interval over 10 groups of 5 crops" in notes.psnr_interval([result])
    few = result | {"images": 44}
    assert "9 groups, too few for brackets" in notes.intervals([few], finished[1])
    assert notes.psnr_interval([few]) == "of 9 groups of 5 crops, too few for an interval"
    for pool in (1, "all"):
        told = notes.psnr_interval([result | {"pool": pool}])
        assert "over the photographs" in told and "groups" not in told


def test_a_file_of_an_earlier_version_says_what_to_do(tmp_path):
    write_json(tmp_path / "old.json", {"metrics": {}, "per_image": {}, "protocol": "primary"})
    with pytest.raises(MsddError, match="old.json is no evaluation of this version"):
        read_evaluation(tmp_path / "old.json")
