"""The Snakemake front: what it plans, what makes it stale, and one real run of the tiny preset."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from msdd import layout, presets, stages
from msdd.params import load

ROOT = Path(__file__).parents[2]
TINY = ROOT / "presets/tiny.yaml"
REPORTS = {"table1": 1, "table2": 1, "ablation": 1, "figures": 1}
PREPARED = ("manifest.json", "photographs.csv", "train", "held_out")
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def snakemake(folder, *arguments):
    command = [*SNAKEMAKE, "--directory", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def edit(folder, old, new):
    path = folder / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def planned(folder):
    """How often each rule would run, less `code`."""
    done = snakemake(folder, "-n")
    assert done.returncode == 0, done.stderr
    table = re.findall(r"^(\w+) +(\d+)$", done.stdout.partition("Reasons:")[0], re.M)
    return {rule: int(count) for rule, count in table if rule not in ("all", "code", "total")}


@pytest.fixture
def tiny(tmp_path):
    """An empty working directory for the tiny preset."""
    shutil.copy(TINY, tmp_path / "params.yaml")
    return tmp_path


def test_rules_and_layout_agree(tiny):
    """The rules write their paths out; layout.py is what the stages use."""
    done = snakemake(tiny, "--summary", "all")
    assert done.returncode == 0, done.stderr
    header, *lines = done.stdout.splitlines()
    assert header.startswith("output_file")
    assert {line.split("\t")[0] for line in lines} == {str(path) for path in expected(load(TINY))}


def expected(params):
    """Every declared output, by layout.py."""
    tables = presets.rows(params)
    data = layout.prepared()
    yield from (data / name for name in PREPARED)
    for model in tables["models"]:
        yield from (layout.stage1(model) / file for file in layout.TRAINING_FILES)
    for job in tables["scales"].values():
        folder = layout.scale(job["model"], job["student"], job["scale"])
        yield from (folder / file for file in layout.TRAINING_FILES)
    for student, job in tables["students"].items():
        yield from (layout.assembled(job["model"], student) / f for f in layout.MODEL_FILES)
    for student, job in tables["chains"].items():
        yield from (layout.assembled(job["model"], student) / f for f in layout.TRAINING_FILES)
    evaluations = [layout.evaluation(*params.source(decode), decode) for decode in params.decodes]
    for path in [*evaluations, *map(layout.reference, layout.REFERENCES)]:
        yield from (path, layout.timing(path), layout.samples(path))
    yield from map(layout.pyramid, evaluations)
    yield from presets.wanted_receipts(params)
    yield from map(layout.code, stages.STAGES)
    for name in layout.TABLES:
        yield from (layout.table(name, kind) for kind in ("csv", "md", "tex"))
    for name in layout.FIGURES:
        yield from (layout.figure(name, kind) for kind in ("png", "svg"))


def test_a_fresh_folder_plans_every_job_and_refreshes_the_rows(tiny):
    plan = planned(tiny)
    assert plan == {
        "prepare": 1,
        "train": 1,
        "distil": 2,
        "assemble": 1,
        "chain": 1,
        "evaluate": 3,
        "reference": 2,
        **REPORTS,
    }
    assert sum(plan.values()) <= 15
    assert (tiny / layout.rows()).exists()


def test_a_mistake_in_the_params_is_one_line(tiny):
    edit(tiny, "  patch: 4", "  patch: 5")
    done = snakemake(tiny, "-n")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("msdd: error: ")]
    assert told == [line for line in done.stderr.splitlines() if "patch" in line]
    assert "Traceback" not in done.stderr


def test_lint():
    done = subprocess.run([*SNAKEMAKE, "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_format():
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_tiny_preset_runs_and_is_then_done(tiny):
    """The only real run: every stage works, then nothing is stale but what is made so."""
    done = snakemake(tiny, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all((tiny / path).exists() for path in expected(load(TINY)))
    for benchmark in (tiny / "benchmarks").rglob("*.tsv"):
        assert list((tiny / "logs").rglob(f"{benchmark.stem}.log"))

    start = time.perf_counter()
    assert planned(tiny) == {}
    assert time.perf_counter() - start < 15

    edit(tiny, "of: msdd, steps: 4", "of: msdd, steps: 6")
    assert planned(tiny) == {"evaluate": 1, **REPORTS}
    edit(tiny, "of: msdd, steps: 6", "of: msdd, steps: 4")
    edit(tiny, "teacher_steps: 2", "teacher_steps: 3")
    assert planned(tiny) == {"distil": 2, "assemble": 1, "chain": 1, "evaluate": 2, **REPORTS}
