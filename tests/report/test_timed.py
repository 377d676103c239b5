"""What was timed in turns: its own table and figure, and its place in Tables 1 and 2."""

import finished_pipeline as pipeline
import numpy as np
import pandas as pd
import pytest

from msdd.files import write_json
from msdd.pipeline import layout
from msdd.report import figures, table1, table2, timed
from msdd.speed.stage import save

TIMES = {  # seconds of one image alone and of 32: decoding
    ("student", "fast"): (0.01, 0.16),
    ("student", "plain"): (0.02, 0.64),
    ("teacher", "fast"): (0.1, 3.2),
}
FLOPS = {"student": 1e9, "teacher": 24e9}


def document(**changed) -> dict:
    """One run: a student in two paths, a teacher in one, at two batch sizes."""
    rows = [
        row(system, variant, region, batch, times[batch > 1] * (2 if region == "paper" else 1))
        for (system, variant), times in TIMES.items()
        for region in ("decode", "paper")
        for batch in (1, 32)
    ]
    described = {"tokens": 16, "dim": 16, "bits": None, "parameters": 7, "resolution": 32}
    machine = {"load_average": 0.5, "cpu_mhz": 2000.0}
    return {
        "throughput": {
            "systems": ["student", "teacher"],
            "regions": ["decode", "paper"],
            "batches": [1, 32],
            "repeats": 5,
            "precision": "bf16",
        },
        "systems": [
            {"system": name, "flops": {"decode": cost}, "nfe": 3, **described}
            for name, cost in FLOPS.items()
        ],
        "rows": rows,
        "noise": 0.01,
        "ceilings": {"bf16": 1e12, "fp32": 5e11, "bandwidth": 1e10, "source": "measured"},
        "context": {"device": "Some CPU", "threads": 2, "host": "here", "started": "today"}
        | {"commit": "fedcba9876543210", "dirty": False, "before": machine, "after": machine},
        "random": False,
    } | changed


def row(system: str, variant: str, region: str, batch: int, seconds: float) -> dict:
    spread = {"seconds": seconds, "seconds_low": 0.9 * seconds, "seconds_high": 1.1 * seconds}
    precision = {"fast": "bf16", "plain": "fp32"}[variant]
    about = {
        "how": "eager",
        "cold": False,
        "system": system,
        "variant": variant,
        "region": region,
        "batch": batch,
        "precision": precision,
    }
    return about | spread | {"images_per_second": batch / seconds, "memory_bytes": None}


@pytest.fixture
def both(finished):
    """A finished pipeline with decodes that were timed in turns."""
    params, root = finished
    write_json(root / layout.throughput(), document())
    return params, root


def test_a_line_for_every_path(tmp_path):
    save(document(), tmp_path / "own.json")
    frame = pd.read_csv(tmp_path / "own.csv").set_index(["system", "variant"])
    assert list(frame.index) == list(TIMES)
    fast = frame.loc["student", "fast"]
    assert fast["images_per_second"] == 200 and fast["batch"] == 32
    assert fast["images_per_second_low"] < 200 < fast["images_per_second_high"]
    assert fast["latency_ms"] == 10 and fast["paper"] == 100 and fast["paper_batch"] == 32
    assert fast["share"] == pytest.approx(100 * 200e9 / 1e12)
    assert frame.loc[("teacher", "fast"), "speed_up"] == pytest.approx(1 / 20)
    assert frame.loc[("teacher", "fast"), "by_flops"] == pytest.approx(1 / 24)
    assert frame.loc[("student", "plain"), "share"] == pytest.approx(100 * 50e9 / 5e11)
    told = (tmp_path / "own.md").read_text()
    assert "speed-up over student" in told and "1/20×" in told and "1/24×" in told
    assert "memory (MB)" not in told  # which no row has
    assert "fedcba987654" in told and "trained" in told


def test_nothing_timed_is_an_empty_table_and_figure(tmp_path):
    settings = document()["throughput"] | {"systems": []}
    save(document(rows=[], systems=[], noise=None, throughput=settings), tmp_path / "none.json")
    assert len(pd.read_csv(tmp_path / "none.csv")) == 0
    assert (tmp_path / "none.svg").stat().st_size > 1000


def test_the_papers_batch_or_the_best():
    rows = [{"batch": batch, "images_per_second": speed} for batch, speed in ((8, 9), (32, 7))]
    assert timed.paper(rows)["batch"] == 32
    assert timed.paper(rows[:1])["batch"] == 8
    assert timed.paper([]) is None


def test_table_2_takes_speed_from_the_run_and_the_rest_from_evaluations(both):
    params, root = both
    table2.run(params, root)
    frame = pd.read_csv(root / layout.table("table2", "csv")).set_index("row")
    assert frame.loc["student", "images_per_second"] == 200
    assert frame.loc["student", "speed_ratio"] == 20
    assert frame.loc["student", "speed_against"] == "teacher"
    untimed = frame.loc["student-joint"]
    assert untimed["images_per_second"] == pipeline.DECODES["student-joint"][1]
    assert np.isnan(untimed["speed_ratio"])  # its teacher was timed in another region
    told = (root / layout.table("table2", "md")).read_text()
    assert "Some CPU, 2 threads, fast variant, bf16, batch 32" in told
    assert "Some CPU @ 2.0, 2 threads, fp32, batch 64" in told


def test_batches_may_differ_in_one_run(both):
    """Each counts at its best; timings of two runs do not compare."""
    params, root = both
    slow = [
        row("teacher", "fast", "decode", batch, seconds) for batch, seconds in ((1, 1), (32, 64))
    ]
    rows = [one for one in document()["rows"] if one["system"] == "student"]
    write_json(root / layout.throughput(), document(rows=rows + slow))
    table2.run(params, root)
    frame = pd.read_csv(root / layout.table("table2", "csv")).set_index("row")
    assert frame.loc["teacher", "at_batch"] == 1 and frame.loc["student", "at_batch"] == 32
    assert frame.loc["student", "speed_ratio"] == 200


def test_table_1_shows_the_papers_own_box_where_it_was_timed(both, tmp_path_factory):
    params, root = both
    table1.run(params, root)
    frame = pd.read_csv(root / layout.table("table1", "csv")).set_index("row")
    assert frame.loc["student", "paper_region"] == 100
    assert "paper region images/s" in (root / layout.table("table1", "md")).read_text()
    (root / layout.throughput()).unlink()
    table1.run(params, root)
    assert "paper region" not in (root / layout.table("table1", "md")).read_text()


def test_quality_stands_against_the_speed_of_the_run(both):
    params, root = both
    assert figures.run(params, root)["points"] == len(pipeline.DECODES)
    assert "fast variant" in (root / layout.figure("quality_speed", "svg")).read_text()
