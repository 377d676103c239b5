"""Snakemake and DVC: the same jobs, stale for the same reasons, and the same bytes in the end."""

import copy
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import engines
import pandas
import pytest
import yaml

from msdd import layout, presets, stages
from msdd.errors import MsddError
from msdd.files import digest, write_text
from msdd.mistakes import read_yaml
from msdd.params import parse

ROOT = engines.ROOT
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))
RAW = read_yaml(ROOT / "presets/tiny.yaml")


def project(folder, raw):
    """A checkout of the project in `folder`, as far as the engines read it."""
    for name in ("dvc.yaml", ".dvcignore", ".dvc/config", ".gitignore", "reports/published.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "msdd", folder / "msdd", ignore=ignored)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    use(folder, raw)
    return folder


def use(folder, raw):
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    write_text(folder / layout.rows(), presets.text(parse(raw)))


@pytest.mark.parametrize("preset", PRESETS)
def test_both_engines_have_the_same_jobs(preset, tmp_path):
    """Commands, files and params; a folder of receipts stands for what the receipts are about."""
    raw = read_yaml(ROOT / f"presets/{preset}.yaml")
    folder = project(tmp_path, raw)
    ours, theirs = engines.snakemake_jobs(folder), engines.dvc_jobs(folder)
    makers = {path: job for job in ours for path in ours[job].outputs}
    assert ours.keys() == theirs.keys()
    for name, job in ours.items():
        assert theirs[name].command == job.command
        assert theirs[name].outputs == job.outputs
        if name != "code":
            assert sources(theirs[name].inputs, makers) == {f".code/{name.partition('@')[0]}"} | (
                sources(job.inputs, makers)
            )
            assert spelt_out(theirs[name].params, raw) == job.params
    assert all(path.startswith("msdd/") for path in ours["code"].inputs)


def sources(inputs, makers):
    """Input files that single jobs make, and the jobs behind all others."""
    found = set()
    for path in inputs:
        receipts = [made for made in makers if made.startswith(f"{path}/")]
        if receipts:
            found |= {makers[made] for made in receipts}
        else:
            found.add(path if path.startswith(".code/") else makers.get(path, path))
    return found


def spelt_out(keys, raw):
    """Keys with sections resolved, as the table of stages does it; less the order of rows."""
    found = set()
    for key in keys:
        section = key in raw and key not in stages.ROWS and isinstance(raw[key], dict)
        found |= {f"{key}.{name}" for name in raw[key]} if section else {key}
    return {key for key in found if not key.startswith("rows.order.")}


def test_the_order_of_rows_is_tracked_where_whole_tables_are(tmp_path):
    """DVC compares tables without their order, Snakemake with it."""
    theirs = engines.dvc_jobs(project(tmp_path, RAW))
    for name in layout.TABLES + ("figures",):
        tables = {key for key in stages.STAGES[name].keys if key in stages.ROWS}
        order = {key for key in theirs[name].params if key.startswith("rows.order.")}
        assert order == {f"rows.order.{table}" for table in tables}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A pipeline that both engines find done; its outputs are made up."""
    folder = project(tmp_path_factory.mktemp("finished"), RAW)
    for job in engines.dvc_jobs(folder).values():
        for path in job.outputs:
            crops = path.endswith(("/train", "/held_out")) and path.startswith("data/")
            write_text(folder / path / "00000.npy" if crops else folder / path, path)
    stages.write_fingerprints(folder)
    engines.touch(folder)
    engines.commit(folder)
    assert engines.snakemake_stale(folder) == engines.dvc_stale(folder) == set()
    return folder


def leaves(value, path=()):
    if isinstance(value, dict) and value:
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    return [path]


def changed(path):
    """The params with another value at `path` that is valid, or None."""
    raw = copy.deepcopy(RAW)
    *parents, last = path
    node = raw
    for key in parents:
        node = node[key]
    for other in others(node[last]):
        node[last] = other
        try:
            parse(raw)
            return raw
        except MsddError:
            continue
    return None


WORDS = ["alex", "vgg", "bf16", "line", "authors", "dino", "joint", "msdd-1step", "student"]
WORDS += ["finetuned", "worse", "inception", "teacher", "a/folder"]


def others(value):
    """Values that may do instead of this one."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [
            n for n in (value * 2, value + 1, value / 2, value // 2, value + 0.05) if n != value
        ]
    if isinstance(value, list):
        last = [[*value[:-1], other] for other in others(value[-1])]
        return last + [[other, *value[1:]] for other in others(value[0])]
    return [{"model": {"width": 64}}] if value == {} else [word for word in WORDS if word != value]


# No single other value is valid; SHAPES changes most of these together with what they need.
FIXED = {
    "model.scales",
    "distil.mode",
    "students.msdd-1step.model",
    "students.finetuned.model",
    "students.finetuned.mode",
    "students.finetuned.start",
    "decodes.teacher.of",
}
SHAPES = {
    "one scale": {"model": {**RAW["model"], "scales": 1}, "distil": {**RAW["distil"], "gan": 0.0}}
    | {"students": {"msdd-1step": {"model": "msdd"}}, "ablations": {}}
    | {"decodes": {"teacher": RAW["decodes"]["teacher"]}},
    "another model": {"models": {"msdd": {}, "line": {"model": {"positions": "line"}}}},
    "another student": {
        "students": {**RAW["students"], "joint": {"model": "msdd", "mode": "joint"}}
    },
    "another decode": {
        "decodes": {**RAW["decodes"], "slow": {**RAW["decodes"]["teacher"], "steps": 8}}
    },
    "rows turned round": {"decodes": dict(reversed(RAW["decodes"].items()))},
}


@pytest.fixture
def cached(monkeypatch):
    """Digests of the code are taken once."""
    digests = {stage: stages.fingerprint(stage) for stage in stages.STAGES}
    monkeypatch.setattr(stages, "fingerprint", digests.__getitem__)
    return digests


def test_a_changed_param_makes_the_same_jobs_stale(finished, cached):
    fixed = set()
    for path in leaves(RAW):
        raw = changed(path)
        if raw is None:
            fixed.add(".".join(path))
            continue
        use(finished, raw)
        ours, theirs = engines.snakemake_stale(finished), engines.dvc_stale(finished)
        assert ours == theirs, ".".join(path)
        assert ours, ".".join(path)
    use(finished, RAW)
    assert fixed == FIXED


@pytest.mark.parametrize("shape", SHAPES)
def test_other_rows_make_the_same_jobs_stale(finished, cached, shape):
    use(finished, RAW | SHAPES[shape])
    ours, theirs = engines.snakemake_stale(finished), engines.dvc_stale(finished)
    use(finished, RAW)
    assert ours == theirs
    assert ours


@pytest.mark.parametrize("stage", stages.STAGES)
def test_changed_code_makes_the_same_jobs_stale(finished, cached, stage):
    """Whatever module it is: a digest is all that the engines see of a stage's code."""
    right, cached[stage] = cached[stage], "changed"
    ours, theirs = stale(finished)
    cached[stage] = right
    assert ours == theirs
    assert stage in {job.partition("@")[0] for job in ours}
    assert stale(finished) == (set(), set())


def test_a_comment_makes_only_code_stale(finished, cached):
    path = finished / "msdd/flow/path.py"
    text = path.read_text()
    path.write_text(f"{text}\n# a comment\n")
    changed = engines.dvc_changed(finished)
    path.write_text(text)
    assert changed == {"code"}


def stale(folder):
    """What each engine would run, less the stage `code`, which has run."""
    stages.write_fingerprints(folder)
    return engines.snakemake_stale(folder) - {"code"}, engines.dvc_stale(folder)


TIMED = ("*.timing.json", "provenance.json", "table[12].md", "table[12].tex", "quality_speed.*")
SPEEDS = ("images_per_second", "speed_ratio")
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "MSDD_TRACKING": "off",
    "DVC_NO_ANALYTICS": "1",
}
SNAKEMAKE = ("snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1")


def start(folder, *command):
    return subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, text=True, stdout=-1, stderr=subprocess.STDOUT
    )


def end(process):
    told, _ = process.communicate()
    assert process.returncode == 0, told[-3000:]
    return told


def test_either_engine_and_both_in_turn_make_the_same_bytes(tmp_path):
    """And whoever runs next finds it done."""
    folders = [project(tmp_path / name, RAW) for name in ("snakemake", "dvc", "mixed")]
    ours, theirs, mixed = folders
    first = [start(ours, *SNAKEMAKE), start(theirs, "dvc", "repro")]
    for process in first:
        end(process)
    end(start(mixed, "dvc", "repro", "assemble@msdd-1step"))
    end(start(mixed, *SNAKEMAKE))
    assert results(ours) == results(theirs) == results(mixed)
    for folder in (ours, mixed):
        engines.commit(folder)
    for folder in folders:
        end(start(folder, *SNAKEMAKE, "--touch", "-F"))
        assert engines.snakemake_stale(folder) == engines.dvc_changed(folder) == set()


def results(folder):
    """Weights, curves, metrics, reconstructions and reports: everything without a clock in it."""
    files = [path for name in ("runs", "reports", "data") for path in (folder / name).rglob("*")]
    files = [path for path in files if path.is_file() and path.name[0] != "."]
    return {
        str(path.relative_to(folder)): content(path)
        for path in files
        if not any(path.match(pattern) for pattern in TIMED)
    }


def test_an_outdated_rows_file_is_one_line(tmp_path):
    folder = project(tmp_path, RAW)
    (folder / "params.yaml").write_text(yaml.safe_dump(RAW | SHAPES["another model"]))
    process = start(folder, "dvc", "repro", "prepare")
    told, _ = process.communicate()
    assert process.returncode != 0
    assert [line for line in told.splitlines() if line.startswith("msdd: ")] == [
        "msdd: error: workflow/rows.yaml is outdated: run `msdd params expand`, or `make repro`"
    ]


def test_receipts_of_rows_that_are_gone_do_not_count(finished):
    """Nor are they deleted: the row may come back."""
    gone = finished / layout.receipt("evaluations", Path("runs/old/stage1/eval/old.json"))
    write_text(gone, "old")
    assert engines.dvc_changed(finished) == {"table1", "table2", "ablation", "figures"}
    with chdir(finished):
        presets.expand(parse(RAW))
    assert engines.dvc_changed(finished) == set()
    gone.unlink()


def test_results_come_from_a_remote(finished, tmp_path):
    """What was pulled is done for DVC, and for Snakemake once it has been told."""
    clone = project(tmp_path / "clone", RAW)
    shutil.copy(finished / "dvc.lock", clone)
    for folder in (finished, clone):
        remote = f"[core]\nremote = here\n['remote \"here\"']\nurl = {tmp_path / 'remote'}\n"
        (folder / ".dvc/config.local").write_text(remote)
    engines.push(finished)
    engines.pull(clone)
    assert engines.dvc_changed(clone) == set()
    engines.touch(clone)
    assert engines.snakemake_stale(clone) == set()
    assert engines.dvc_changed(clone) == set()


def content(path):
    """The digest of a file; of a table without its columns of speed."""
    if path.suffix != ".csv":
        return digest(path)
    table = pandas.read_csv(path, dtype=str)
    return table.drop(columns=[name for name in SPEEDS if name in table]).to_csv()
