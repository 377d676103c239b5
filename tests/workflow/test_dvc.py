"""Snakemake and DVC: the same jobs, stale for the same reasons, and the same bytes in the end."""

import copy
from contextlib import chdir, contextmanager
from functools import cache, partial
from pathlib import Path

import engines
import pytest
import yaml
from checkouts import RAW, ROOT, edited, listing, project, run, use
from dvc.utils import strictyaml
from dvc.utils.serialize import _yaml

from msdd.commands import plan
from msdd.data.digests import of_photographs
from msdd.errors import MsddError
from msdd.files import write_text
from msdd.params.load import load, parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import fingerprint, jobs, layout, stages

pytestmark = pytest.mark.long
PRESETS = sorted(path.stem for path in (ROOT / "presets").glob("*.yaml"))


@pytest.mark.parametrize("preset", [*PRESETS, "several jobs prepare", "elsewhere"])
def test_both_engines_have_the_same_jobs(preset, tmp_path):
    """Commands, files and params; a folder of receipts stands for what the receipts are about."""
    file = ROOT / f"presets/{preset}.yaml"
    raw = read_yaml(file) if preset in PRESETS else RAW | SHAPES[preset]
    folder = project(tmp_path, raw)
    ours, theirs = engines.snakemake_jobs(folder), engines.dvc_jobs(folder)
    makers = {path: job for job in ours for path in ours[job].outputs}
    assert ours.keys() == theirs.keys()
    for name, job in ours.items():
        assert theirs[name].command == job.command
        assert theirs[name].outputs == job.outputs
        if name != "code":
            inputs = spread(theirs[name].inputs, folder)
            own = tuple(f"{place}/" for place in (layout.weights(), layout.encoders()))
            inputs = [path for path in inputs if not path.startswith(own)]
            stage = name.partition("@")[0]
            reader = "scatter" if raw["prepare_jobs"] > 1 else "prepare"
            code = "evaluate" if stage == "elsewhere" else stage
            digests = {f".code/{one}" for one in (code, *["photographs"] * (stage == reader))}
            behind = {path for path in job.inputs - set(inputs) if is_behind(path, job)}
            assert sources(inputs, makers) == digests | sources(job.inputs - behind, makers)
            assert spelt_out(theirs[name].params, raw) == job.params
    assert all(path.startswith("msdd/") for path in ours["code"].inputs)


def is_behind(path, job):
    """Whether Snakemake alone names it, for hosts without a shared folder: another implies it."""
    latents = any(path.startswith("data/latents/") for path in job.inputs)
    models = job.command == "msdd throughput" and path.endswith(layout.MODEL_FILES)
    return models or latents and path.startswith("data/prepared/")


def spread(inputs, folder):
    """Input files, with those in place of a folder that no job fills."""
    for path in inputs:
        files = [file for file in (folder / path).rglob("*") if file.is_file()]
        yield from [str(file.relative_to(folder)) for file in files] or [path]


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
    for name in layout.REPORTS:
        tables = {key for key in stages.STAGES[name].keys if key in stages.ROWS}
        order = {key for key in theirs[name].params if key.startswith("rows.order.")}
        assert order == {f"rows.order.{table}" for table in tables}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A pipeline that both engines find done, of the folder's own code; its outputs are made up."""
    folder = project(tmp_path_factory.mktemp("finished"), RAW)
    package = folder / "msdd"
    digest = partial(fingerprint.closure_digest, package=package)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fingerprint, "PACKAGE", package)
        patch.setattr(stages, "closure_digest", digest)
        parse_once(patch)
        make_up(folder)
        yield folder


def parse_once(patch):
    """DVC parses params.yaml anew for every stage, and dvc.yaml for every question."""
    known = cache(_yaml.parse_yaml)
    for module in (_yaml, strictyaml):
        patch.setattr(module, "parse_yaml", lambda *text, **how: copy.deepcopy(known(*text, **how)))


def make_up(folder):
    folders = {str(layout.weights()), str(layout.encoders())}
    for place in folders:
        (folder / place).mkdir(parents=True)
    for job in engines.dvc_jobs(folder).values():
        for path in job.outputs - folders:
            crops = path.endswith(("/train", "/held_out")) and path.startswith("data/")
            write_text(folder / path / "00000.npy" if crops else folder / path, path)
    stages.write_fingerprints(folder)
    look_for_photographs(folder)
    engines.touch(folder)
    engines.commit(folder)
    assert engines.snakemake_stale(folder) == engines.dvc_stale(folder) == set()


def look_for_photographs(folder):
    """As `msdd code` does."""
    data = load(folder / "params.yaml").data
    write_text(folder / layout.code("photographs"), f"{of_photographs(data, folder)}\n")


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
WORDS += [
    "finetuned",
    "worse",
    "inception",
    "teacher",
    "a/folder",
    "both",
    "plain",
    "ssdd",
    "adm",
    "skip",
]
FRECHET = {"weight": 0.1, "networks": ["inception"], "half_life": 2048}
GIVEN = {"file": "encoder.safetensors", "sha256": "0" * 64}


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
    if value == {}:
        return [{"model": {"width": 64}}]
    return [word for word in WORDS if word != value] + [GIVEN, FRECHET, 4]


# No single other value is valid; SHAPES changes most of these together with what they need.
OF_OTHER_PRESETS = {"scatter", "latents"}  # stages
FIXED = {
    "data.store",
    "data.store_side",
    "prepare_jobs",
    "model.scales",
    "model.end_levels",
    "model.kl_encoder",
    "model.uvit",
    "stage1.repa",
    "distil.frechet",
    "distil.mode",
    "distil.noise",
    "distil.train_encoder",
    "students.msdd-1step.model",
    "students.finetuned.model",
    "students.finetuned.mode",
    "students.finetuned.start",
    "decodes.teacher.of",
    "throughput.systems",
}
KL = {"width": 32, "multipliers": [1, 2, 2], "blocks": 1, "groups": 8}
UVIT = {"channels": 32, "multipliers": [1, 1], "depth": 1, "heads": 4, "layers": 1}
UVIT |= {"window": 4, "groups": 4}
REPA = {"weight": 0.25, "block": 1, "model": "vit_tiny_patch16_224", **GIVEN}
ONE_SCALE = {"model": {**RAW["model"], "scales": 1}, "distil": {**RAW["distil"], "gan": 0.0}}
ONE_SCALE |= {"students": {"msdd-1step": {"model": "msdd"}}, "ablations": {}}
ONE_SCALE |= {"decodes": {"teacher": RAW["decodes"]["teacher"]}}
WITHOUT = {"noise": "zero", "mse_teacher": 0, "mse_real": 1}
STORED = RAW["data"] | {"store": "photographs", "train_crops": None}
SHAPES = {
    "several jobs prepare": {"prepare_jobs": 3, "data": STORED},
    "one scale": ONE_SCALE,
    "a U-ViT": {**ONE_SCALE, "model": {**ONE_SCALE["model"], "uvit": UVIT}}
    | {"stage1": {**RAW["stage1"], "repa": REPA}},
    "another model": {"models": {"msdd": {}, "line": {"model": {"positions": "line"}}}},
    "a KL encoder": {"model": {**RAW["model"], "latents": 16, "kl_encoder": KL}},
    "another student": {
        "students": {**RAW["students"], "joint": {"model": "msdd", "mode": "joint"}}
    },
    "a student without noise": {
        "students": {**RAW["students"], "plain": {"model": "msdd", "mode": "joint", **WITHOUT}}
    },
    "another decode": {
        "decodes": {**RAW["decodes"], "slow": {**RAW["decodes"]["teacher"], "steps": 8}}
    },
    "elsewhere": {
        "decodes": {**RAW["decodes"], "theirs": {"tokenizer": "taef2", "checkpoint": "weights"}}
    },
    "rows turned round": {"decodes": dict(reversed(RAW["decodes"].items()))},
}


@pytest.fixture(scope="module")
def digests(finished):
    return {stage: stages.fingerprint(stage) for stage in stages.STAGES}


@pytest.fixture
def cached(digests, monkeypatch):
    """Digests of the code are taken once."""
    digests = dict(digests)
    monkeypatch.setattr(stages, "fingerprint", digests.__getitem__)
    return digests


def test_a_changed_param_makes_the_same_jobs_stale(finished, cached):
    """Of params that the same jobs read, one is tried with the engines themselves."""
    jobs_of = [engines.snakemake_jobs(finished), engines.dvc_jobs(finished)]
    fixed, tried = set(), set()
    for path in leaves(RAW):
        key, raw = ".".join(path), changed(path)
        if raw is None:
            fixed.add(key)
            continue
        ours, theirs = (readers(key, jobs) for jobs in jobs_of)
        assert ours == theirs and ours, key
        if ours in tried:
            continue
        tried.add(ours)
        use(finished, raw)
        ours, theirs = engines.snakemake_stale(finished), engines.dvc_stale(finished)
        assert ours - {"code"} == theirs, key
        assert ours, key
    use(finished, RAW)
    assert fixed == FIXED and len(tried) > 5


def readers(key, jobs):
    """The jobs that depend on a param, alone or with the section or row that it is part of."""
    return frozenset(
        name for name, job in jobs.items() if any(f"{key}.".startswith(f"{k}.") for k in job.params)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_other_rows_make_the_same_jobs_stale(finished, cached, shape):
    use(finished, RAW | SHAPES[shape])
    ours, theirs = engines.snakemake_stale(finished), engines.dvc_stale(finished)
    use(finished, RAW)
    assert ours - {"code"} == theirs  # which DVC runs each time
    assert ours


@pytest.mark.parametrize("stage", sorted(stages.STAGES.keys() - OF_OTHER_PRESETS))
def test_changed_code_makes_the_same_jobs_stale(finished, cached, stage):
    """Whatever module it is: a digest is all that the engines see of a stage's code."""
    right, cached[stage] = cached[stage], "changed"
    ours, theirs = stale(finished)
    cached[stage] = right
    assert ours == theirs
    assert stage in {job.partition("@")[0] for job in ours}


def test_code_that_is_as_it_was_makes_no_job_stale(finished, cached):
    assert stale(finished) == (set(), set())


@contextmanager
def other_content(path):
    write_text(path, "other")
    yield
    write_text(path, path.name)


@contextmanager
def removed(path):
    path.unlink()
    yield
    write_text(path, path.name)


@contextmanager
def added(path):
    new = path.with_name("new.png")
    write_text(new, "new")
    yield
    new.unlink()


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_changed_photographs_make_the_same_jobs_stale(tmp_path, cached, jobs):
    """`msdd code`, which DVC runs each time, looks for them; Snakemake looks by itself."""
    given = {"data": STORED | {"photographs": "photos"}, "prepare_jobs": jobs}
    folder = project(tmp_path, RAW | given)
    photographs = [folder / f"photos/{k}.png" for k in range(4)]
    for path in photographs:
        write_text(path, path.name)
    make_up(folder)
    for change in (other_content, removed, added):
        with change(photographs[0]):
            ours = engines.snakemake_stale(folder) - {"code"}
            assert engines.dvc_stale(folder) == set()
            run(folder, "msdd", "code")
            assert ours == engines.dvc_stale(folder) > {"prepare", "train@msdd", "table2"}
            assert ("scatter@part0" in ours, "scatter@part1" in ours) == (jobs > 1, jobs > 1)
        look_for_photographs(folder)
    cached["scatter"] = "changed"
    ours, theirs = stale(folder)
    assert ours == theirs and ("scatter@part1" in ours) == (jobs > 1)


def test_a_comment_makes_only_code_stale(finished):
    code, last = finished / "msdd/flow/path.py", "return "
    with edited(code, last, f"# a comment\n    {last}"):
        assert engines.snakemake_stale(finished) == engines.dvc_changed(finished) == {"code"}
    with edited(code, last, f"1 + 1\n    {last}"):
        assert engines.snakemake_stale(finished) > {"code", "train@msdd"}


def stale(folder):
    """What each engine would run, less the stage `code`, which has run."""
    stages.write_fingerprints(folder)
    return engines.snakemake_stale(folder) - {"code"}, engines.dvc_stale(folder)


def test_a_plan_of_what_never_ran_has_every_job_and_writes_nothing(tmp_path):
    folder = project(tmp_path)
    jobs_of = engines.dvc_jobs(folder).keys()
    before = without_state(listing(folder))
    told = run(folder, "make", "-o", "setup", "plan", "ENGINE=dvc").splitlines()
    assert {line.partition(" ")[0] for line in told} >= jobs_of
    assert f"{len(jobs_of)} jobs: 1 code, 1 prepare, " in told[-2]
    assert without_state(listing(folder)) == before
    told = run(folder, "make", "-o", "setup", "plan")
    assert "Building DAG" in told and "dry-run" in told
    told = run(folder, "make", "-o", "setup", "plan", "ENGINE=other", succeeds=False)
    assert "there are snakemake and dvc" in told


def without_state(files):
    """A listing of files without DVC's own."""
    return {path: one for path, one in files.items() if path.parts[:1] != (".dvc",)}


def test_a_plan_is_what_is_stale(finished, cached):
    assert planned(finished) == {}
    use(finished, changed(("decodes", "teacher", "steps")))
    stale, found = engines.dvc_stale(finished), planned(finished)
    use(finished, RAW)
    assert found.keys() == stale
    assert found["evaluate@teacher"] == ["decodes.teacher changed"] and found["speed"] == []


def test_a_plan_knows_of_code_that_the_stage_code_has_not_seen(finished):
    with edited(finished / "msdd/flow/steps.py", "else 2", "else 3"):
        found = planned(finished)
    assert found["evaluate@teacher"] == [".code/evaluate changed"]
    assert found["assemble@msdd-1step"] == [] and "prepare" not in found


def planned(folder):
    with chdir(folder):
        return plan.planned(load("params.yaml"), folder)


def test_an_outdated_rows_file_is_one_line(tmp_path):
    folder = project(tmp_path, RAW)
    (folder / "params.yaml").write_text(yaml.safe_dump(RAW | SHAPES["another model"]))
    told = run(folder, "dvc", "repro", "prepare", succeeds=False)
    assert [line for line in told.splitlines() if line.startswith("msdd: ")] == [
        "msdd: error: workflow/rows.yaml is outdated: run `msdd params expand`, or `make repro`"
    ]


def test_receipts_of_rows_that_are_gone_do_not_count(finished):
    """Nor are they deleted: the row may come back."""
    gone = finished / layout.receipt("evaluations", Path("runs/old/stage1/eval/old.json"))
    write_text(gone, "old")
    assert engines.dvc_changed(finished) == set(layout.REPORTS) - {"speed"}
    jobs.expand(parse(RAW), finished)
    assert engines.dvc_changed(finished) == set()
    gone.unlink()


def test_a_dirty_lock_is_told(finished):
    """Snakemake is not told that anything is done that DVC does not find done."""
    lock = finished / "dvc.lock"
    with edited(lock, "seed: 0", "seed: 1"):
        assert engines.dvc_changed(finished) == {"prepare"}
    with edited(lock, "schema:", "<<<<<<< HEAD\nschema:"):
        with pytest.raises(strictyaml.YAMLSyntaxError, match="dvc.lock"):
            engines.dvc_changed(finished)
        assert "Snakemake was told nothing" in run(finished, "make", "known", succeeds=False)
