"""Fingerprints: code counts where it is imported; comments, docstrings and layout never do."""

import shutil
from pathlib import Path

import pytest

from msdd.params.load import load, parse
from msdd.pipeline import fingerprint, stages
from msdd.pipeline.stages import STAGES, resolved, task, tracked

ROOT = Path(__file__).parents[1]


@pytest.fixture
def package(tmp_path):
    """A package with every way to import; `train.one` needs no sampler, `train.two` does."""
    files = {
        "__init__.py": "from msdd.far import everything",
        "cli.py": "from msdd.flow import sampler",
        "far.py": "",
        "flow/__init__.py": "",
        "flow/path.py": '"""Doc."""\n\ndef at(t):\n    """Doc."""\n    return t  # why\n',
        "flow/sampler.py": "from .path import at\n",
        "train/__init__.py": "from . import loop\n",
        "train/loop.py": "import math\n",
        "train/one.py": "import msdd.flow.path\nfrom msdd.cli import main\n",
        "train/two.py": "def run():\n    from ..flow import sampler, absent\n",
    }
    for name, text in files.items():
        path = tmp_path / "msdd" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "msdd"


def test_closure_follows_every_kind_of_import(package):
    shared = {"msdd.train", "msdd.train.loop", "msdd.flow", "msdd.flow.path"}
    assert fingerprint.closure("msdd.train.one", package) == shared | {"msdd.train.one"}
    assert fingerprint.closure("msdd.train.two", package) == shared | {
        "msdd.train.two",
        "msdd.flow.sampler",
    }


def digests(package):
    return [fingerprint.closure_digest(f"msdd.train.{name}", package) for name in ("one", "two")]


@pytest.mark.parametrize(
    "text",
    [
        '"""Other."""\n\n\n\ndef at(t):\n    """Other."""\n    return t\n',
        "def at(t):\n    return (t)  # because\n",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(package, text):
    before = digests(package)
    (package / "flow/path.py").write_text(text)
    assert digests(package) == before


def test_code_counts_where_it_is_imported(package):
    one, two = digests(package)
    (package / "flow/sampler.py").write_text("from .path import at\nSTEPS = 2\n")
    assert digests(package)[0] == one
    assert digests(package)[1] != two
    (package / "flow/path.py").write_text("def at(t):\n    return 1 - t\n")
    assert digests(package)[0] != one


def test_data_of_a_module_counts(package):
    before = digests(package)
    (package / "flow/sampler.yaml").write_text("steps: 3")
    assert digests(package)[0] == before[0] and digests(package)[1] != before[1]


def test_a_change_of_the_real_sampler(tmp_path):
    shutil.copytree(fingerprint.PACKAGE, tmp_path / "msdd")
    sampler = tmp_path / "msdd/flow/sampler.py"
    modules = {name: STAGES[name].module for name in ("prepare", "train", "distil", "evaluate")}
    before = {n: fingerprint.closure_digest(m, tmp_path / "msdd") for n, m in modules.items()}
    sampler.write_text(sampler.read_text() + "\nEXTRA = 1\n")
    after = {n: fingerprint.closure_digest(m, tmp_path / "msdd") for n, m in modules.items()}
    assert {n for n in modules if before[n] != after[n]} == {"distil", "evaluate"}


def test_no_stage_depends_on_what_cannot_change_it():
    for stage in STAGES:
        names = fingerprint.closure(STAGES[stage].module)
        assert not any(map(fingerprint.is_outside, names))


def test_tracked_keys_are_those_a_stage_depends_on():
    raw = load(ROOT / "presets/tiny.yaml").raw()
    wildcards = {
        "model": "msdd",
        "student": "msdd-1step",
        "decode": "teacher",
        "baseline": "bicubic",
    }

    def stale(change):
        other = load(ROOT / "presets/tiny.yaml").raw()
        change(other)
        names = STAGES.keys()
        return {n for n in names if tracked(n, raw, **wildcards) != tracked(n, other, **wildcards)}

    assert stale(lambda raw: raw["distil"].update(mse_real=2.0)) == {"distil", "chain"}
    assert stale(lambda raw: raw["stage1"].update(lpips=1.0)) == {"train"}
    assert stale(lambda raw: raw["models"]["msdd"].update(stage1={"batch": 16})) == {"train"}
    assert stale(lambda raw: raw["models"].update(other={})) == set()
    assert stale(lambda raw: raw["decodes"]["teacher"].update(steps=6)) == {
        "evaluate",
        "table1",
        "table2",
        "ablation",
        "figures",
        "throughput",
    }


def test_a_key_is_params_code_and_inputs(tmp_path, monkeypatch):
    params = load(ROOT / "presets/tiny.yaml")
    monkeypatch.setattr(stages, "fingerprint", lambda stage: "code")
    manifest = tmp_path / "manifest.json"
    manifest.write_text("1")

    def key(params=params):
        return task("train", params, [Path("manifest.json")], tmp_path, model="msdd").key

    before = key()
    assert before == key()
    assert before != key(params.model_copy(update={"seed": 1}))
    manifest.write_text("2")
    assert before != key()
    manifest.write_text("1")
    monkeypatch.setattr(stages, "fingerprint", lambda stage: "other code")
    assert before != key()


def test_resolved_params_are_the_tracked_ones_of_the_row():
    raw = load(ROOT / "presets/tiny.yaml").raw()
    raw["models"]["line"] = {"model": {"positions": "line"}, "stage1": {"batch": 16}}
    raw["students"]["joint"] = {"model": "line", "mode": "joint"}
    params = parse(raw)
    line, student = resolved("train", params, model="line"), {"student": "joint"}
    assert line.keys() == tracked("train", params.raw(), model="line").keys()
    assert line["model.positions"] == "line" and line["stage1.batch"] == 16
    assert resolved("train", params, model="msdd")["model.positions"] == "grid"
    assert resolved("chain", params, **student)["distil.mode"] == "joint"
    assert resolved("assemble", params, **student) == {"students.joint.model": "line"}
