"""The Snakemake front: what it plans, what makes it stale, and what a real run has left."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import engines
import pytest
from checkouts import ROOT, edited, listing, project, run
from snakemake.cli import parse_args

from msdd.data.held_out import OWNERS
from msdd.files import read_json
from msdd.params.load import load
from msdd.params.sections import BASELINES
from msdd.pipeline import jobs, layout, stages

TINY = ROOT / "presets/tiny.yaml"
REPORTS = dict.fromkeys(layout.REPORTS, 1)
PREPARED = ("manifest.json", "photographs.csv", OWNERS, "train", "held_out")
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]


def snakemake(folder, *arguments):
    command = [*SNAKEMAKE, "--directory", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def planned(folder):
    """How often each rule would run, less `code`."""
    return Counter(job.partition("@")[0] for job in engines.snakemake_stale(folder) - {"code"})


@pytest.fixture
def tiny(tmp_path):
    """An empty working directory for the tiny preset."""
    shutil.copy(TINY, tmp_path / "params.yaml")
    return tmp_path


def test_rules_and_layout_agree(tiny):
    """The rules write their paths out; layout.py is what the stages use."""
    elsewhere = "  theirs: { tokenizer: taef2, checkpoint: weights }\n"
    with open(tiny / "params.yaml", "r+") as file:
        text = file.read().replace("decodes:\n", f"decodes:\n{elsewhere}", 1)
        file.seek(0)
        file.write(text)
    jobs = engines.snakemake_jobs(tiny).values()
    assert set().union(*(job.outputs for job in jobs)) == set(
        map(str, expected(load(tiny / "params.yaml")))
    )


def expected(params):
    """Every declared output, by layout.py."""
    tables = jobs.rows(params)
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
    for path in [*evaluations, *map(layout.baseline, BASELINES)]:
        yield from (path, layout.timing(path), layout.samples(path), layout.extremes(path))
    yield from (layout.pyramid(Path(job["path"])) for job in tables["decodes"].values())
    yield from jobs.receipts_of(tables)
    yield from map(layout.code, (*stages.STAGES, "photographs", "weights", "encoders"))
    yield from map(layout.provenance, artefacts(tables))
    for name in layout.REPORTS:
        yield from layout.report(name)


def artefacts(tables):
    """What every job makes, as its record is named."""
    trained = [job["path"] for name in (*jobs.TRAINED, "students") for job in tables[name].values()]
    measured = [job["path"] for name in jobs.MEASURED for job in tables[name].values()]
    reports = [f"reports/{name}" for name in layout.REPORTS]
    references = map(layout.baseline, BASELINES)
    return map(Path, [layout.prepared(), *trained, *measured, *references, *reports])


def test_a_fresh_folder_plans_every_job(tiny):
    plan = planned(tiny)
    assert plan == {
        "prepare": 1,
        "train": 1,
        "distil": 2,
        "assemble": 1,
        "chain": 1,
        "evaluate": 3,
        "baseline": 2,
        **REPORTS,
    }
    assert sum(plan.values()) <= 18


def test_a_mistake_in_the_params_is_one_line(tiny):
    with edited(tiny / "params.yaml", "  patch: 4", "  patch: 5"):
        done = snakemake(tiny, "-n")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("msdd: error: ")]
    assert told == [line for line in done.stderr.splitlines() if "patch" in line]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("question", ["-n", "--lint", "--summary"])
def test_a_question_writes_nothing(question, tmp_path):
    """Apart from Snakemake's own folder, and from what Python keeps of modules that it has read;
    the rows file is outdated before and after."""
    folder = project(tmp_path)
    (folder / layout.rows()).write_text("outdated")
    before = listing(folder)
    run(folder, "snakemake", question, PYTHONDONTWRITEBYTECODE="1")
    assert listing(folder) == before


OWN = """
resources: { gpu: 4, mem_mb: 9000 }
latency-wait: 61
keep-going: false
show-failed-logs: false
default-resources: { mem_mb: 5000, runtime: 7 }
set-resources: { train: { mem_mb: 64000 } }
retries: 3
"""


def test_nothing_wins_over_a_profile_of_ones_own(tmp_path, monkeypatch):
    """`profiles/default` is read after it, and each of its keys would replace the user's."""
    (tmp_path / "profile.yaml").write_text(OWN)
    asked = [[], ["--profile", str(tmp_path)], ["--profile", str(tmp_path), "--keep-going"]]
    for given in asked:
        command = ["--snakefile", str(ROOT / "Snakefile"), "--cores", "1", *given]
        alone = vars(parse_args([*command, "--workflow-profile", "none"])[1])
        beside = vars(parse_args(command)[1])
        changed = {key for key in alone if str(alone[key]) != str(beside[key])}
        assert changed - {"max_jobs_per_timespan"} == {"workflow_profile", "rerun_incomplete"}
        assert beside["rerun_incomplete"]


@pytest.mark.parametrize(
    ("listed", "options", "granted"),
    [
        ("0,1", [], 1),
        ("", [], 0),
        ("", ["--resources", "gpu=4"], 1),
        ("0", ["--resources", "gpu=0"], 0),
    ],
)
def test_a_run_counts_the_gpus_of_its_machine(tiny, monkeypatch, listed, options, granted):
    """The smoke test gives what it was granted to the pipeline inside it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    done = snakemake(tiny, "-n", "-p", "--cores", "1", "smoke", *options)
    assert f"--cores 1 --resources gpu={granted} 2>&1" in done.stdout
    assert ("this machine shows no GPU" in done.stderr) == (bool(options) and not listed)


def test_a_workflow_profile_that_is_not_there_is_named(tiny):
    done = snakemake(tiny, "-n", "--workflow-profile", "profiles/slrum")
    assert done.returncode == 1
    assert "--workflow-profile profiles/slrum: there is no such profile" in done.stderr
    (tiny / "profiles/slrum").mkdir(parents=True)
    (tiny / "profiles/slrum/profile.yaml").write_text("cores: 1")
    assert snakemake(tiny, "-n", "--workflow-profile", "profiles/slrum").returncode == 0


def test_a_limit_that_does_not_reach_the_jobs_of_a_cluster_is_refused(tiny):
    """Without a GPU here, a cluster's jobs keep theirs."""
    cluster = ("-n", "--jobs", "9", "--executor", "dryrun")
    done = snakemake(tiny, *cluster, "--resources", "gpu=0")
    assert "--resources gpu=0 does not reach the jobs of a cluster" in done.stderr
    assert "MSDD_GPUS=1 msdd train" in snakemake(tiny, *cluster, "-p").stdout


def test_an_edit_while_a_run_is_at_work_is_for_the_next_one(tmp_path):
    """Its jobs read what it has read, so that nothing is made of other values than it recorded."""
    folder, target = project(tmp_path / "p"), "runs/msdd/stage1/model.safetensors"
    before = load(folder / "params.yaml").stage1.learning_rate
    words = [*SNAKEMAKE, "--directory", folder, "--cores", "1", target, "--quiet", "all"]
    with subprocess.Popen(words) as at_work:
        while not (folder / "logs/prepare/prepare.log").exists() and at_work.poll() is None:
            time.sleep(0.01)
        with edited(folder / "params.yaml", f"learning_rate: {before}", "learning_rate: 0.5"):
            assert at_work.wait() == 0
            record = read_json(folder / layout.provenance(layout.stage1("msdd")))
            assert record["params"]["stage1.learning_rate"] == before
            assert engines.snakemake_stale(folder) >= {"train@msdd"}
    assert "Nothing to be done" in snakemake(folder, "-n", target).stdout


def test_format():
    command = [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_tiny_preset_has_run_and_a_change_is_planned(runs):
    folder, _ = runs["snakemake"]
    params = load(folder / "params.yaml")
    assert all((folder / path).exists() for path in expected(params))
    assert jobs.agrees(params, folder / layout.rows())
    for benchmark in (folder / "benchmarks").rglob("*.tsv"):
        assert list((folder / "logs").rglob(f"{benchmark.stem}.log"))

    assert_records_tell_what_is_declared(folder)

    assert "Nothing to be done" in run(folder, "snakemake", "-n")

    with edited(folder / "params.yaml", "steps: 4", "steps: 6"):
        assert planned(folder) == {"evaluate": 1, **REPORTS}
    with edited(folder / "params.yaml", "teacher_steps: 2", "teacher_steps: 3"):
        plan = {"distil": 2, "assemble": 1, "chain": 1, "evaluate": 2, **REPORTS}
        assert planned(folder) == plan


def assert_records_tell_what_is_declared(folder):
    """A job's record names the inputs and outputs of its rule, and the rule."""
    jobs = engines.snakemake_jobs(folder)
    assert len(jobs) == 1 + len(list((folder / layout.RECORDS).rglob("*.json")))
    for name, job in jobs.items():
        (place,) = [path for path in job.outputs if path.startswith("provenance/")] or [None]
        if place is None:
            assert name == "code"
            continue
        record = read_json(folder / place)
        assert {engines.relative(path) for path in record["inputs"]} == job.inputs
        made = {
            str(Path(path).parent) if path.endswith("00000.npy") else path
            for path in record["made"]
        }
        assert made | {place} == job.outputs
        assert (record["engine"], record["rule"]) == ("snakemake", name.partition("@")[0])
        assert record["params"].keys() == job.params
