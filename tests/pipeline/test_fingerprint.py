"""Fingerprints: code counts where it is imported; comments, docstrings, texts of errors do not."""

import shutil
from pathlib import Path

import pytest

from msdd.errors import MsddError
from msdd.files import write_text
from msdd.params.load import load, parse
from msdd.pipeline import fingerprint, layout
from msdd.pipeline import task as tasks
from msdd.pipeline.stages import STAGES, tracked_params
from msdd.pipeline.task import resolve
from msdd.tokenizers.systems import SYSTEMS

MANIFEST = "data/prepared/manifest.json"

ROOT = Path(__file__).parents[2]


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


def test_closure_leaves_out_what_only_types_need(package):
    text = "if TYPE_CHECKING:\n    from msdd.flow import sampler\nelse:\n    from msdd import far\n"
    (package / "train/one.py").write_text(text)
    expected = {"msdd.train", "msdd.train.loop", "msdd.train.one", "msdd.far"}
    assert fingerprint.closure("msdd.train.one", package) == expected


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


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """A copy of the real package, to edit, and the digest of every module behind a stage."""
    package = tmp_path_factory.mktemp("copied") / "msdd"
    shutil.copytree(fingerprint.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    return package, real_digests(package)


def real_digests(package):
    modules = {stage.module for stage in STAGES.values()}
    return {module: fingerprint.closure_digest(module, package) for module in modules}


def stale(copied, file, old, new):
    """The stages that are no longer up to date when a text in a file of the package is replaced."""
    package, before = copied
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    (package / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    after = real_digests(package)
    (package / file).write_text(text, encoding="utf-8")
    return {name for name in STAGES if before[STAGES[name].module] != after[STAGES[name].module]}


TRAININGS, EVALUATIONS = {"train", "distil", "chain"}, {"evaluate", "baseline"}
WEIGHTS = {*TRAININGS, *EVALUATIONS}  # what loads pretrained weights
TOKENIZING = {"latents", *EVALUATIONS, "throughput"}  # what opens whole tokenizers
DECODING = {"distil", "chain", *EVALUATIONS, "throughput"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("report/style.py", "#0072b2", "#0000ff", {"speed", "figures", "report"}),
        ("report/table1.py", "figures that others published", "published", {"table1", "report"}),
        ("report/speed.py", "MFU\\n(%)", "of the peak", {"speed", "report"}),
        ("page/document.js", "Nothing differs.", "All is equal.", {"report"}),
        ("speed/card_text.py", "over student", "over", set()),
        ("fast/many_steps.py", "return torch.lerp(", "return 1 * torch.lerp(", {"throughput"}),
        ("fast/fold.py", "gate[:, None] *", "2 * gate[:, None] *", {"throughput"}),
        ("fast/attention.py", "ROUNDS = 5", "ROUNDS = 6", {"throughput"}),
        ("train/discriminator.py", "SLOPE = 0.2", "SLOPE = 0.1", {"distil", "chain"}),
        ("train/frechet.py", "NOISE = 1e-3", "NOISE = 1e-4", {"distil", "chain"}),
        ("train/weight.py", "COLLECTED = 2", "COLLECTED = 9", {"distil", "chain"}),
        ("weights/pretrained_networks.py", "' is unknown; {", "': {", set()),
        ("weights/model_folder.py", "no model here", "nothing here", set()),
        ("tracking/run.py", "def open_run(", "EXTRA = 1\n\n\ndef open_run(", set()),
        ("params/checks.py", "twice; once is enough", "twice", set()),
        ("pipeline/layout.py", 'Path("provenance")', 'Path("records")', set()),
        ("commands/throughput.py", "time decodes", "measure decodes", set()),
        ("cli.py", "Multi-scale diffusion", "Diffusion", set()),
        # `latents` opens any tokenizer, by the catalogue, and so those of this project as well.
        ("flow/steps.py", "1 if g == 1 else 2", "2", {*DECODING, "latents", "table2", "report"}),
        ("tokenizers/taef2.py", "GROUPS = 4", "GROUPS = 2", TOKENIZING),
        ("train/stored_latents.py", "np.float32)", "np.float64)", {*TRAININGS, "latents"}),
        ("train/loop.py", "return means", "return dict(means)", TRAININGS),
        ("speed/rounds.py", "LONG = 60.0", "LONG = 30.0", {"throughput"}),
        ("weights/pretrained_networks.py", "if net not in TRUNKS:", "if not net:", WEIGHTS),
    ],
)
def test_an_edit_makes_stale_what_it_can_change_and_nothing_else(copied, file, old, new, expected):
    assert stale(copied, file, old, new) == expected


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("if x > 1:\n    raise ValueError(f'{x} is too large') from None", False),
        ("if x > 2:\n    raise ValueError('x')", True),
        ("if x > 1:\n    raise KeyError('x')", True),
        ("if x > 1:\n    pass", True),
    ],
    ids=["text", "condition", "type", "no error"],
)
def test_of_an_error_only_the_text_does_not_count(package, code, counts):
    path = package / "flow/sampler.py"
    path.write_text("if x > 1:\n    raise ValueError('x')")
    before = digests(package)
    path.write_text(code)
    assert (digests(package) != before) == counts


def test_no_stage_depends_on_what_cannot_change_it():
    for stage in STAGES:
        names = fingerprint.closure(STAGES[stage].module)
        assert not any(map(fingerprint.is_outside, names))


@pytest.mark.parametrize("stage", ["evaluate", "throughput", "latents"])
def test_code_of_every_tokenizer_counts_where_one_is_opened_by_name(stage):
    names = fingerprint.closure(STAGES[stage].module)
    assert {f"msdd.tokenizers.{system.family.module}" for system in SYSTEMS.values()} <= names


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
        return {
            n
            for n in names
            if tracked_params(n, raw, **wildcards) != tracked_params(n, other, **wildcards)
        }

    assert stale(lambda raw: raw["distil"].update(mse_real=2.0)) == {
        "distil",
        "chain",
        "report",
    }
    assert stale(lambda raw: raw["stage1"].update(lpips=1.0)) == {"train", "report"}
    assert stale(lambda raw: raw["models"]["msdd"].update(stage1={"batch": 16})) == {
        "train",
        "report",
    }
    assert stale(lambda raw: raw["models"].update(other={})) == {"report"}
    assert stale(lambda raw: raw["decodes"]["teacher"].update(steps=6)) == {
        "evaluate",
        "table1",
        "table2",
        "ablation",
        "figures",
        "throughput",
        "report",
    }


def test_a_key_is_params_code_and_inputs(tmp_path, monkeypatch):
    params = load(ROOT / "presets/tiny.yaml")
    monkeypatch.setattr(tasks, "fingerprint", lambda stage: "code")
    manifest = tmp_path / MANIFEST
    manifest.parent.mkdir(parents=True)
    manifest.write_text("1")

    def key(params=params):
        return resolve(params, "train", tmp_path, model="msdd").key

    before = key()
    assert before == key()
    assert before != key(params.model_copy(update={"seed": 1}))
    manifest.write_text("2")
    assert before != key()
    manifest.write_text("1")
    monkeypatch.setattr(tasks, "fingerprint", lambda stage: "other code")
    assert before != key()


def test_how_often_is_saved_belongs_to_no_result(tmp_path):
    """So a stopped training goes on where that is changed, in the section or in its row."""
    raw = load(ROOT / "presets/tiny.yaml").raw()

    def key():
        return resolve(parse(raw), "train", tmp_path, model="msdd").key

    keys = [key()]
    for section in (raw["stage1"], raw["models"]["msdd"].setdefault("stage1", {})):
        section["checkpoint_every"] = raw["stage1"]["checkpoint_every"] * 3
        keys.append(key())
    assert len(set(keys)) == 1
    raw["models"]["msdd"]["stage1"]["batch"] = 16
    assert key() != keys[0]


@pytest.fixture(scope="module")
def params():
    """A model and a student that override defaults, beside the preset's."""
    raw = load(ROOT / "presets/tiny.yaml").raw()
    raw["models"]["line"] = {"model": {"positions": "line"}, "stage1": {"batch": 16}}
    raw["students"]["joint"] = {"model": "line", "mode": "joint"}
    start = {"model": "msdd", "mode": "finetune", "start": "msdd-1step"}
    raw["students"]["finetuned"] = start
    return parse(raw)


def test_a_task_has_what_holds_for_its_row(params, tmp_path):
    line = resolve(params, "train", tmp_path, model="line")
    assert line.params.keys() == tracked_params("train", params.raw(), model="line").keys()
    assert line.params["model.positions"] == line.networks.positions == "line"
    assert line.params["stage1.batch"] == line.stage1.batch == 16
    assert resolve(params, "train", tmp_path, model="msdd").params["model.positions"] == "grid"
    joint = resolve(params, "chain", tmp_path, student="joint")
    assert joint.params["distil.mode"] == joint.distil.mode == "joint"
    assert (joint.model, joint.student, joint.networks) == ("line", "joint", line.networks)
    whole = resolve(params, "assemble", tmp_path, student="msdd-1step")
    assert whole.params == {"students.msdd-1step.model": "msdd"}


def test_row_params_of_a_model_are_part_of_its_student(params, tmp_path):
    model = resolve(params, "train", tmp_path, model="msdd").row_params
    student = resolve(params, "distil", tmp_path, student="msdd-1step", scale=0).row_params
    assert model.items() < student.items() and set(student) - set(model) == {"distil"}
    reports = resolve(params, "throughput", tmp_path, inputs=())
    assert set(reports.row_params) == {"seed", "cpu_threads", "data"}
    assert reports.row == "reports"


@pytest.mark.parametrize(
    ("stage", "wildcards", "folders", "data"),
    [
        ("prepare", {}, [], False),
        ("train", {"model": "msdd"}, [], True),
        ("distil", {"student": "msdd-1step", "scale": 1}, ["msdd/stage1"], True),
        ("chain", {"student": "joint"}, ["line/stage1"], True),
        ("chain", {"student": "finetuned"}, ["msdd/stage1", "msdd/msdd-1step"], True),
        (
            "assemble",
            {"student": "msdd-1step"},
            ["msdd/stage1", "msdd/msdd-1step/scale0", "msdd/msdd-1step/scale1"],
            False,
        ),
        ("evaluate", {"decode": "teacher"}, ["msdd/stage1"], True),
        ("evaluate", {"decode": "student"}, ["msdd/msdd-1step"], True),
        ("baseline", {"baseline": "bicubic"}, [], True),
    ],
)
def test_inputs_are_the_files_that_a_stage_reads(params, tmp_path, stage, wildcards, folders, data):
    files = [Path("runs", folder, file) for folder in folders for file in layout.MODEL_FILES]
    everything = [Path(MANIFEST), *files, Path("runs/line/joint/config.json")]
    for path in everything:
        write_text(tmp_path / path, "")
    found = resolve(params, stage, tmp_path, **wildcards).inputs
    assert found.keys() == {str(path) for path in [*files, *([MANIFEST] if data else [])]}


@pytest.mark.parametrize(
    ("stage", "wildcards", "line"),
    [
        ("train", {"model": "other"}, "models has no row 'other'; known: msdd, line"),
        ("assemble", {"student": "other"}, "students has no row 'other'"),
        ("evaluate", {"decode": "other"}, "decodes has no row 'other'"),
        ("distil", {"student": "msdd-1step", "scale": 2}, "'msdd-1step' has no scale 2"),
        ("distil", {"student": "joint", "scale": 0}, "'joint' is joint: use `msdd chain`"),
        ("assemble", {"student": "joint"}, "'joint' is joint: use `msdd chain`"),
        ("chain", {"student": "msdd-1step"}, "'msdd-1step' is per_scale: use `msdd distil`"),
    ],
)
def test_a_job_that_is_not_in_the_params_is_refused(params, tmp_path, stage, wildcards, line):
    with pytest.raises(MsddError, match=line):
        resolve(params, stage, tmp_path, **wildcards)
