"""Throughput as the stage `speed` renders it, and its place in Tables 1 and 2."""

from pathlib import Path

import finished_pipeline as pipeline
import numpy as np
import pandas as pd
import pytest
from timed_document import TIMES, document, row

from msdd.errors import MsddError
from msdd.files import read_json, write_json
from msdd.pipeline import layout
from msdd.report import figures, speed, table1, table2, timings
from msdd.report.speed_figure import draw

MEASURED = sorted((pipeline.ROOT / "reports/measured").glob("*.json"))


@pytest.fixture
def both(finished):
    """A finished pipeline with decodes that were timed in turns."""
    params, root = finished
    write_json(root / layout.throughput(), document())
    return params, root


def test_a_line_for_every_variant(tmp_path):
    speed.render(document(), tmp_path / "own.json")
    frame = pd.read_csv(tmp_path / "own.csv").set_index(["system", "variant"])
    assert list(frame.index) == list(TIMES)
    fast = frame.loc["student", "fast"]
    assert fast["images_per_second"] == 200 and fast["batch"] == 32
    assert fast["images_per_second_low"] < 200 < fast["images_per_second_high"]
    assert fast["latency_ms"] == 10 and fast["paper"] == 100 and fast["paper_batch"] == 32
    assert fast["mfu"] == pytest.approx(100 * 200e9 / 1e12)
    assert frame.loc[("teacher", "fast"), "speed_up"] == pytest.approx(1 / 20)
    assert frame.loc[("teacher", "fast"), "by_flops"] == pytest.approx(1 / 24)
    assert frame.loc[("student", "plain"), "mfu"] == pytest.approx(100 * 50e9 / 5e11)
    text = (tmp_path / "own.md").read_text(encoding="utf-8")
    assert "speed-up over student" in text and "1/20×" in text and "1/24×" in text
    assert "MFU (%)" in text and "memory (MB)" not in text  # which no row has
    assert "fedcba987654" in text and "trained" in text


def test_speeds_of_images_of_other_sides_have_no_ratio():
    found = document()
    table = speed.table(found, "own.json")
    assert "px" not in [one.heading for one in table.columns]
    assert "one's resolution" not in " ".join(table.notes)
    found["systems"][1]["resolution"] = 256
    table = speed.table(found, "own.json")
    frame = table.frame.set_index("system")
    assert frame["times"].notna().to_dict() == {"student": True, "teacher": False}
    assert frame.loc["teacher", ["speed_up", "by_flops", "times_by_flops"]].isna().all()
    assert "px" in [one.heading for one in table.columns]
    assert "first one's resolution have a speed-up" in " ".join(table.notes)


def test_the_stage_renders_what_was_timed_and_records_it(both):
    params, root = both
    speed.run(params, root)
    made = layout.report("speed")
    assert {path.suffix for path in made} == {".csv", ".html", ".md", ".tex", ".png", ".svg"}
    record = read_json(root / layout.provenance(Path("reports/speed")))
    assert record["made"].keys() == set(map(str, made))
    assert record["inputs"].keys() == {str(layout.throughput())}


def test_a_legend_of_long_names_is_whole():
    long = document()
    for named in (*long["systems"], *long["rows"]):
        named["system"] += "-of-a-name-that-says-all-there-is-to-say"
    drawn = draw(document()), draw(long)
    boxes = [figure.axes[0].get_window_extent() for figure in drawn]
    assert boxes[0].width == pytest.approx(boxes[1].width)
    for figure in drawn:
        legend = figure.axes[0].get_legend().get_window_extent()
        assert legend.x1 < figure.get_figwidth() * figure.dpi


def test_nothing_timed_yet_names_the_command(finished):
    with pytest.raises(MsddError, match=r"^reports/throughput.json is missing: run `msdd through"):
        speed.run(*finished)


@pytest.mark.parametrize("file", MEASURED, ids=lambda file: file.stem)
def test_kept_measurements_are_still_readable(file):
    """Those of reports/measured: a row for every variant that a system has, no number missing.

    Of INT8 no rate of large products is measured, and so no MFU.
    """
    document = read_json(file)
    frame = speed.table(document, file.name).frame
    made = {(row["system"], row["variant"]) for row in document["rows"]}
    assert len(frame) == len(made)
    assert frame[["nfe", "gflop", "images_per_second", "speed_up"]].notna().all(axis=None)
    assert (frame["mfu"].isna() == frame["precision"].eq("int8")).all()
    assert frame["images_per_second"].gt(0).all()
    assert draw(document).axes[0].get_lines()


def test_nothing_timed_is_an_empty_table_and_figure(tmp_path):
    settings = document()["throughput"] | {"systems": []}
    speed.render(
        document(rows=[], systems=[], noise=None, throughput=settings), tmp_path / "none.json"
    )
    assert len(pd.read_csv(tmp_path / "none.csv")) == 0
    assert (tmp_path / "none.svg").stat().st_size > 1000


def test_the_papers_batch_or_the_best():
    rows = [{"batch": batch, "images_per_second": speed} for batch, speed in ((8, 9), (32, 7))]
    assert timings.paper(rows)["batch"] == 32
    assert timings.paper(rows[:1])["batch"] == 8
    assert timings.paper([]) is None


def test_table_2_takes_speed_from_the_run_and_the_rest_from_evaluations(both):
    params, root = both
    table2.run(params, root)
    frame = pd.read_csv(root / layout.table("table2", "csv")).set_index("decode")
    assert frame.loc["student", "images_per_second"] == 200
    assert frame.loc["student", "speed_ratio"] == 20
    assert frame.loc["student", "speed_against"] == "teacher"
    untimed = frame.loc["student-joint"]
    assert untimed["images_per_second"] == pipeline.DECODES["student-joint"][1]
    assert np.isnan(untimed["speed_ratio"])  # its teacher was timed in another region
    text = (root / layout.table("table2", "md")).read_text(encoding="utf-8")
    assert "Some CPU, 2 threads, fast variant, bf16, batch 32" in text
    assert "Some CPU @ 2.0, 2 threads, fp32, batch 64" in text


def test_batches_may_differ_in_one_run(both):
    """Each counts at its best; timings of two runs do not compare."""
    params, root = both
    slow = [
        row("teacher", "fast", "decode", batch, seconds) for batch, seconds in ((1, 1), (32, 64))
    ]
    rows = [one for one in document()["rows"] if one["system"] == "student"]
    write_json(root / layout.throughput(), document(rows=rows + slow))
    table2.run(params, root)
    frame = pd.read_csv(root / layout.table("table2", "csv")).set_index("decode")
    assert frame.loc["teacher", "at_batch"] == 1 and frame.loc["student", "at_batch"] == 32
    assert frame.loc["student", "speed_ratio"] == 200


def test_table_1_shows_the_papers_own_region_where_it_was_timed(both, tmp_path_factory):
    params, root = both
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv")).set_index("decode")
    assert frame.loc["student", "paper_region"] == 100
    assert "paper region images/s" in (root / layout.table("table1", "md")).read_text(
        encoding="utf-8"
    )
    (root / layout.throughput()).unlink()
    table1.run(params, root)
    told = (root / layout.table("table1", "md")).read_text(encoding="utf-8")
    assert "paper region" not in told


def test_quality_stands_against_the_speed_of_the_run(both):
    params, root = both
    assert figures.run(params, root)["points"] == len(pipeline.DECODES)
    assert "fast variant" in (root / layout.figure("quality_speed", "svg")).read_text()
