"""Two sets of results: paired where the images are the same, and what is no more than noise."""

import json
import math
import shutil

import numpy as np
import pytest

from msdd.commands.report import text
from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.page import comparison, document
from msdd.pipeline import layout

STUDENT = layout.evaluation("msdd", "msdd-1step", "student")


@pytest.fixture
def two(finished, tmp_path):
    """A finished pipeline and a copy of its runs, to be changed."""
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "runs", other / "runs")
    return tmp_path, other


def edit(path, change):
    report = read_json(path)
    change(report, report["protocols"]["primary"])
    write_json(path, report)


def brighter(report, entry):
    """The PSNR of every image half a dB up, give or take; on average too."""
    noise = np.random.default_rng(0).normal(0.5, 0.1, len(entry["per_image"]["psnr"]))
    entry["per_image"]["psnr"] = (np.array(entry["per_image"]["psnr"]) + noise).tolist()
    for end in entry["metrics"]["psnr"]:
        entry["metrics"]["psnr"][end] += noise.mean()


def changes(a, b) -> dict:
    return {(one.decode, one.metric): one for one in comparison.compare(a, b).changes}


def test_a_copy_is_equal(two):
    found = comparison.compare(*two)
    paired = [change for change in found.changes if change.images == comparison.PAIRED]
    assert paired and {change.verdict for change in paired} == {comparison.EQUAL}
    assert not {change.difference for change in found.changes} - {0}
    assert not (found.unlike or found.only[0] or found.only[1] or found.params)


def test_speeds_that_were_not_taken_alike_are_not_subtracted(two):
    first, second = (root / layout.timing(STUDENT) for root in two)
    speed = comparison.SPEED.name
    assert changes(*two)["student", speed].images == "timed apart"
    write_json(second, read_json(first) | {"batch": 4})
    assert ("student", speed) not in changes(*two)


def test_what_is_more_than_noise_of_pairs_is_less_of_other_images(two):
    edit(two[1] / STUDENT, brighter)
    paired = changes(*two)["student", "psnr"]
    assert paired.verdict == comparison.BETTER and paired.images == comparison.PAIRED
    assert 0.4 < paired.low < paired.difference < paired.high < 0.6
    assert changes(*two[::-1])["student", "psnr"].verdict == comparison.WORSE
    edit(two[1] / STUDENT, lambda report, entry: report.update(digest="other"))
    apart = changes(*two)["student", "psnr"]
    assert apart.images == comparison.APART and apart.difference == pytest.approx(paired.difference)
    assert apart.high - apart.difference == pytest.approx(math.hypot(0.3, 0.3))
    assert apart.verdict == comparison.BETTER if apart.low > 0 else comparison.WITHIN


def test_metrics_of_the_newest_papers_compare_and_what_tables_lack_is_left_out(two):
    def measured(figures):
        def change(_, entry):
            for name, figure in figures.items():
                count = len(entry["per_image"]["psnr"])
                entry["per_image"][name] = [figure + 0.001 * k for k in range(count)]
                entry["metrics"][name] = {"mean": figure, "low": figure, "high": figure}

        return change

    edit(
        two[0] / STUDENT,
        measured({"gaussian_ssim": 0.5, "dists": 0.2, "patch_fd_inception": 3, "top1": 1}),
    )
    edit(
        two[1] / STUDENT,
        measured({"gaussian_ssim": 0.6, "dists": 0.3, "patch_fd_inception": 4, "top1": 0}),
    )
    found = {
        metric: one.verdict
        for (decode, metric), one in changes(*two).items()
        if decode == "student"
    }
    assert found["gaussian_ssim"] == comparison.BETTER and found["dists"] == comparison.WORSE
    assert "top1" not in found and "patch_fd_inception" in found


def test_distances_on_a_network_that_saw_other_levels_do_not_compare(two):
    name = "efficientnet-lite0"
    for folder in two:
        edit(folder / STUDENT, lambda _, entry: entry.update(levels={name: "as published"}))
    assert ("student", "fd_efficientnet_lite0") in changes(*two)
    edit(two[1] / STUDENT, lambda _, entry: entry.update(levels={}))
    found = changes(*two)
    assert ("student", "fd_efficientnet_lite0") not in found and ("student", "psnr") in found


def test_unpaired_ends_are_taken_from_the_sides_that_face_each_other():
    a, b = {"mean": 1.0, "low": 0.7, "high": 1.4}, {"mean": 3.0, "low": 2.7, "high": 3.1}
    assert comparison.unpaired(a, b) == pytest.approx(
        (2.0, 2 - math.hypot(0.3, 0.4), 2 + math.hypot(0.1, 0.3))
    )
    assert comparison.unpaired(1.5, 2.0) == (0.5, None, None)


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("psnr", (1.0, 0.5, 1.5), comparison.BETTER),
        ("lpips_alex", (1.0, 0.5, 1.5), comparison.WORSE),
        ("fd_inception", (-1.0, None, None), comparison.UNKNOWN),
        ("ssim", (0.1, -0.1, 0.3), comparison.WITHIN),
        ("psnr", (math.nan, math.nan, math.nan), comparison.UNKNOWN),
        ("psnr", (0.0, 0.0, 0.0), comparison.EQUAL),
    ],
)
def test_verdicts(metric, difference, expected):
    assert comparison.verdict(metric, *difference) == expected


def test_other_rules_are_not_compared(two):
    """Another number of trunks changes no LPIPS; another rounding changes a PSNR."""
    edit(two[1] / STUDENT, lambda _, entry: entry["protocol"]["psnr"].update(quantisation="none"))
    metrics = {metric for decode, metric in changes(*two) if decode == "student"}
    assert "psnr" not in metrics and {"ssim", "lpips_alex"} < metrics
    edit(two[1] / STUDENT, lambda _, entry: entry["protocol"].update(crop="whole"))
    assert "student" in comparison.compare(*two).unlike


def test_a_protocol_that_both_have_will_do_whichever_is_first(two):
    def with_another_first(report, entry):
        report["protocols"]["flowmo"] = entry | {"protocol": {"crop": "bilinear"}}
        report["protocol"] = "flowmo"

    edit(two[0] / STUDENT, with_another_first)
    for sides in (two, two[::-1]):
        found = comparison.compare(*sides)
        assert not found.unlike
        assert {("student", "psnr")} < {(one.decode, one.metric) for one in found.changes}


@pytest.mark.parametrize(
    ("rule", "lost"),
    [
        ("fid", {"fd_efficientnet_lite0", "kd_efficientnet_lite0"}),
        ("frechet", {"fd_efficientnet_lite0"}),
        ("cmmd", {"cmmd"}),
    ],
)
def test_distances_go_by_the_rules_that_they_are_measured_by(two, rule, lost):
    """Of a Fréchet distance both rules may be the one."""

    def measured(_, entry):
        entry["metrics"] |= {"cmmd": 0.5, "kd_efficientnet_lite0": 0.1}
        entry["protocol"] |= {key: {"quantisation": "round"} for key in ("fid", "frechet", "cmmd")}

    for folder in two:
        edit(folder / STUDENT, measured)
    before = {metric for decode, metric in changes(*two) if decode == "student"}
    edit(two[1] / STUDENT, lambda _, entry: entry["protocol"][rule].update(quantisation="none"))
    after = {metric for decode, metric in changes(*two) if decode == "student"}
    assert before - after == lost and lost < before


def test_rows_of_one_side_and_params_that_differ_are_told(two):
    (two[1] / STUDENT).unlink()
    teacher = layout.evaluation("msdd", None, "teacher")
    edit(two[1] / teacher, lambda report, _: report.update(steps=[9, 9, 9]))
    found = comparison.compare(*two)
    assert found.only == (["student"], []) and found.params == {
        "teacher.steps": ("[4, 4, 4]", "[9, 9, 9]")
    }
    page = document.compared(found)
    assert "In the first alone" in page and "[9, 9, 9]" in page
    json.dumps(found.plain(), allow_nan=False)


def test_kept_runs_stand_in_the_order_of_their_folders(two):
    runs = two[0] / "runs"
    for name in ("a", "a-b"):
        (runs / name / "eval").mkdir(parents=True)
        (runs / name / "eval/x.json").touch()
    rows = [path.parts[1] for path in comparison._kept(two[0])]
    assert rows[:2] == ["a", "a-b"]


def test_kept_runs_may_lie_behind_links(two):
    first, second = (root / "runs" for root in two)
    (second / "msdd").rename(two[1] / "scratch")
    (second / "msdd").symlink_to(two[1] / "scratch")
    assert comparison.compare(first, second).only == ([], [])


def test_results_of_other_params_are_named(finished, two):
    """Params were edited since: their difference is not what the figures show."""
    params, floor = finished[0], layout.baseline("mean-colour")
    (two[1] / "params.yaml").write_text(json.dumps(params.raw(), ensure_ascii=False))
    record = {"stage": "baseline", "params": {"seed": params.seed + 1}, "inputs": {}, "made": {}}
    record |= {"started": "2026-01-01T00:00:00+00:00", "wildcards": {"baseline": "mean-colour"}}
    record |= dict.fromkeys(("code", "host", "device", "engine", "rule"), "")
    record |= {"command": [], "commit": None, "dirty": False, "seconds": 1.0, "threads": 1}
    write_json(two[1] / layout.provenance(floor), record | {"versions": {}})
    found = comparison.compare(*two)
    line = "mean-colour.json was made with seed 1, which is 0 now"
    assert not found.plain()["outdated_first"] and line in found.plain()["outdated_second"][0]
    assert f"out of date in the second: {floor.parent}/{line}" in "\n".join(text(found))
    assert line in document.compared(found)


def test_a_folder_of_kept_runs_will_do_and_others_are_named(two):
    assert len(changes(two[0], two[1] / "runs")) == len(changes(*two))
    with pytest.raises(MsddError, match="nowhere: there is no such folder"):
        comparison.read(two[0] / "nowhere")
    with pytest.raises(MsddError, match="holds no evaluation: name a checkout"):
        comparison.read(two[0] / "data")
    shutil.copytree(two[1] / "runs/msdd", two[1] / "runs/again")
    with pytest.raises(MsddError, match="are of one decode"):
        comparison.read(two[1])
