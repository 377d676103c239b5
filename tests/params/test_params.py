"""Params: committed files agree, rows override defaults, every mistake is told in a line."""

import copy
from pathlib import Path

import pytest

from msdd.errors import MsddError
from msdd.metrics import pixel
from msdd.params import checks, page, presets
from msdd.params.load import load, parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import jobs, layout
from msdd.pipeline.stages import STAGES

ROOT = Path(__file__).parents[2]
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))
DEMO = read_yaml(ROOT / "presets" / "demo.yaml")
KL_ENCODER = {"width": 32, "multipliers": [1, 1, 1, 1], "blocks": 1, "groups": 4}
PLAIN = {"model": "msdd", "mode": "joint", "noise": "zero", "mse_teacher": 0, "mse_real": 1}
ALONE = {  # a Fréchet distance and no other loss
    "model": "msdd",
    "mse_teacher": 0,
    "mse_real": 0,
    "frechet": {"weight": 1, "networks": ["efficientnet-lite0"], "half_life": 1280},
}
UVIT = {
    "channels": 32,
    "multipliers": [1, 1, 2],
    "depth": 1,
    "heads": 4,
    "layers": 1,
    "window": 4,
    "groups": 4,
}


def changed(**changes):
    """The demo's plain values with `a__b=value` set or, for `...`, left out."""
    raw = copy.deepcopy(DEMO)
    for key, value in changes.items():
        *parents, last = key.split("__")
        table = raw
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
        if value is ...:
            del table[last]
    return raw


def mistakes(**changes):
    with pytest.raises(MsddError) as caught:
        parse(changed(**changes), "p.yaml")
    return str(caught.value).splitlines()


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_are_complete_and_valid(path):
    params = load(path)
    assert params.raw().keys() == DEMO.keys()
    head, *_ = path.read_text().splitlines()
    assert head == "# yaml-language-server: $schema=params.schema.json"


def test_params_yaml_is_the_demo_preset():
    demo = (ROOT / "presets/demo.yaml").read_text()
    assert (ROOT / "params.yaml").read_text() == demo.replace("$schema=", "$schema=presets/")


def test_committed_schema_and_rows_are_fresh():
    assert (ROOT / presets.SCHEMA).read_text(encoding="utf-8") == presets.schema()
    assert jobs.agrees(load(ROOT / "presets/demo.yaml"), ROOT / layout.rows())


def test_committed_page_of_params_is_fresh():
    """It has a heading for each section; `msdd params schema` writes it."""
    written = page.page({name: stage.keys for name, stage in STAGES.items()})
    assert (ROOT / page.PATH).read_text(encoding="utf-8") == written
    for section, value in DEMO.items():
        rows = section in ("models", "students", "decodes", "ablations")
        named = f"\n## `{section}.<row>`\n" if rows else f"\n## `{section}`\n"
        assert named in written if isinstance(value, dict) else f"\n| `{section}` |" in written


def test_raw_is_what_the_file_says():
    assert parse(DEMO).raw() == DEMO
    row = {"model": {"scales": 2}, "stage1": {"betas": [0.9, 0.99]}}
    assert parse(changed(models__two=row)).raw()["models"]["two"] == row


def test_the_least_side_is_that_of_ssim_s_window():
    assert checks.WINDOW == pixel.WINDOW  # restated, as params are checked without torch


def test_rows_override_defaults():
    params = parse(
        changed(
            models__two={"model": {"scales": 2}, "stage1": {"images": 1600}},
            students__fast={"model": "two", "guidance": [1, 2]},
            decodes__slow={"of": "fast"},
        )
    )
    assert params.model_of("two") == params.model.model_copy(update={"scales": 2})
    assert params.stage1_of("two").images == 1600
    assert params.stage1_of("msdd") == params.stage1
    assert params.distil_of("fast").guidance == (1.0, 2.0)
    assert type(params.distil_of("fast")) is type(params.distil)
    assert params.source("slow") == ("two", "fast")
    scales = jobs.rows(params)["scales"]
    assert [job["scale"] for job in scales.values() if job["student"] == "fast"] == [0, 1]


def test_unknown_row_names_what_exists():
    with pytest.raises(MsddError, match="models has no row 'mssd'; did you mean msdd. known: msdd"):
        parse(DEMO).model_of("mssd")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"models__msdd": {"stage1": {"bath": 3}}},
            "p.yaml: models.msdd.stage1.bath is an unknown key; did you mean batch? allowed here: ",
        ),
        (
            {"models__msdd": {"stage1": {"batch": "12"}}},
            'p.yaml: models.msdd.stage1.batch is "12"; it should be a valid integer',
        ),
        (
            {"distil__guidance": ["a"]},
            'p.yaml: distil.guidance is ["a"]; it should be a valid number, or item 1: it',
        ),
        (
            {"stage1__precision": "fp16"},
            'p.yaml: stage1.precision is "fp16"; did you mean bf16? it should be ',
        ),
        ({"data": ...}, "p.yaml: data is missing; it should be a table with photographs, held_out"),
        ({"model__uvit": ...}, "p.yaml: model.uvit is missing; it should be a table with channels"),
        ({"models": ...}, "p.yaml: models is missing; it should be a table of rows"),
        (
            {"distil__guidance": -1},
            "p.yaml: distil.guidance is -1; it should be greater than or equal to 0, or it should",
        ),
        ({"seed": {"a": 1}}, 'p.yaml: seed is {"a": 1}; it should be a valid integer'),
        ({"throughput__systems": {"a": 1}}, 'p.yaml: throughput.systems is {"a": 1}; it should'),
        ({"data__crop_side": [0.3]}, "p.yaml: data.crop_side is [0.3]; item 2: Field required"),
        ({"evaluate__lpips": "vgg"}, 'p.yaml: evaluate.lpips is "vgg"; it should be a valid array'),
        ({"stage1__batch": ...}, "p.yaml: stage1.batch is missing; it should be a valid integer"),
        (
            {"stage1__learning_rate": float("nan")},
            "p.yaml: stage1.learning_rate is NaN; it should be a",
        ),
        (
            {"model__kl_encoder": KL_ENCODER | {"wide": 1}},
            "p.yaml: model.kl_encoder.wide is an unknown key; did you mean width? allowed here: ",
        ),
        (
            {"models__msdd": {"model": {"kl_encoder": KL_ENCODER | {"blocks": 0}}}},
            "p.yaml: models.msdd.model.kl_encoder.blocks is 0; it should be greater than or ",
        ),
        (
            {"model__kl_encoder": 3},
            "p.yaml: model.kl_encoder is 3; it should be a table with width, multipliers, blocks, ",
        ),
        ({"seed": True}, "p.yaml: seed is true; it should be a valid integer"),
        (
            {"models__msdd": None},
            "p.yaml: models.msdd is null; it should be a table with model, stage1",
        ),
        (
            {"models__A b": {}},
            "p.yaml: models.A b is no name for a row; allowed: up to 100",
        ),
        (
            {"models__1e3": {}},
            "p.yaml: models.1e3 is no name for a row; allowed: up to 100",
        ),
        (
            {"models__null": {}},
            "p.yaml: models.null is no name for a row; allowed: up to 100",
        ),
        ({"extra": 1}, "p.yaml: extra is an unknown key; allowed here: seed, cpu_threads, "),
    ],
)
def test_a_mistake_names_key_value_and_what_is_allowed(changes, line):
    (told,) = mistakes(**changes)
    assert told.startswith(line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"data__resolution": 40},
            "models.msdd: data.resolution 40 is no multiple of 16 = patch 4 x 2^(scales 3 - 1)",
        ),
        (
            {"model__encoder_patch": 5},
            "models.msdd: data.resolution 32 is no multiple of encoder_patch 5",
        ),
        (
            {"model__kl_encoder": KL_ENCODER, "model__latents": 64},
            "models.msdd: latents is 64; kl_encoder makes one for each position of "
            "data.resolution 32 / 8, 16 in all",
        ),
        (
            {"model__kl_encoder": KL_ENCODER | {"width": 48}},
            "models.msdd: kl_encoder.width 48 is no multiple of 32",
        ),
        (
            {"model__kl_encoder": KL_ENCODER | {"groups": 5}},
            "models.msdd: kl_encoder.groups 5 does not divide 32",
        ),
        (
            {"model__end_levels": [0.5, 0.0]},
            "models.msdd: end_levels [0.5, 0.0] has 2 levels for 3 scales",
        ),
        (
            {"model__end_levels": [0.5, 0.6, 0.0]},
            "models.msdd: end_levels [0.5, 0.6, 0.0] must fall from below 1 to 0",
        ),
        ({"model__uvit": UVIT}, "models.msdd: scales is 3; a uvit decodes at 1"),
        (
            {"model__uvit": UVIT | {"window": 9}},
            "models.one-scale: data.resolution 32 must be a multiple of 4 for uvit, which halves "
            "it 2 times, and at least 36 for window 9",
        ),
        (
            {"model__uvit": UVIT | {"multipliers": [1, 1, 1, 1, 1], "window": 2}},
            "models.one-scale: latents 16 lie on a grid of 4x4, which does not divide uvit's of 2",
        ),
        ({"model__uvit": UVIT | {"heads": 3}}, "models.one-scale: uvit.heads 3 does not divide"),
        (
            {"models__msdd": {"stage1": {"cond_drop_prob": 0}}},
            "decodes.teacher.guidance must be 1: cond_drop_prob is 0",
        ),
        (
            {"models__msdd": {"stage1": {"cond_drop_prob": 0}}},
            "students.msdd-1step: guidance must be 1: cond_drop_prob is 0",
        ),
        ({"model__heads": 6}, "models.msdd: width 128 / heads 6 is no multiple of 4"),
        (
            {"models__msdd": {"stage1": {"images": 100}}},
            "models.msdd: images 100 is no multiple of batch",
        ),
        ({"distil__log_every": 100}, "students.msdd-1step: log_every 100 is no multiple of batch"),
        ({"stage1__warmup": 24001}, "models.msdd: warmup is 24001, but images 24000"),
        ({"stage1__cond_drop_prob": 1.0}, "stage1.cond_drop_prob"),
        ({"evaluate__images": 1}, "evaluate.images is 1; of one image"),
        ({"data__held_out_crops": 1}, "data.held_out_crops is 1; of one image"),
        ({"data__resolution": 4}, "data.resolution is 4; SSIM needs 7"),
        (
            {
                "ablations__same": {
                    "question": "?",
                    "of": "teacher",
                    "against": "teacher",
                    "expect": None,
                }
            },
            "ablations.same: `of` and `against` are the same decode",
        ),
        (
            {"students__msdd": {"model": "msdd"}},
            "students.msdd: models has a row of that name already",
        ),
        ({"students__scale0": {"model": "msdd"}}, "students.scale0: the name 'scale0' is reserved"),
        ({"decodes__bicubic": {"of": "msdd"}}, "decodes.bicubic: 'bicubic' is a baseline of every"),
        (
            {"models__" + "x" * 101: {}},
            f"models.{'x' * 101} is no name for a row; allowed: up to 100",
        ),
        ({"data__held_out": ""}, 'data.held_out is ""; String should have at least 1 character'),
        ({"throughput__systems": []}, "throughput.systems is []; it should"),
        ({"students__x": {"model": "y"}}, "students.x.model is 'y'; rows of models: msdd"),
        (
            {"students__x": {"model": "one-scale", "mode": "finetune", "start": "msdd-1step"}},
            "students.x.start is 'msdd-1step'; per-scale students of one-scale: one-scale-1step",
        ),
        (
            {"students__x": {"model": "msdd", "start": "msdd-1step"}},
            "students.x.start is 'msdd-1step', but mode is per_scale",
        ),
        (
            {"students__x": {"model": "msdd", "gan": [0, 1]}},
            "students.x: gan is a list of 2; the model has 3",
        ),
        (
            {"students__x": {"model": "msdd", "mse_teacher": 0, "mse_real": 0}},
            "students.x: mse_teacher and mse_real are both 0",
        ),
        (
            {"students__x": {"model": "msdd", "train_encoder": True}},
            "students.x: train_encoder is true, but mode is per_scale; only joint and finetune",
        ),
        (
            {"students__x": {"model": "msdd", "mode": "joint", "train_encoder": True}},
            "students.x: train_encoder is true; that needs mse_teacher 0 and lpips_to real",
        ),
        (
            {
                "model__kl_encoder": KL_ENCODER,
                "students__x": PLAIN | {"noise": "drawn", "train_encoder": True},
            },
            "students.x: train_encoder is true, but models.msdd has a stage1.encoder or a",
        ),
        (
            {"students__x": ALONE | {"mode": "per_scale"}},
            "students.x: mse_teacher and mse_real are both 0",
        ),
        (  # a weight of one number counts as 0 under 32 px
            {"data__resolution": 16, "students__x": ALONE | {"mode": "joint"}},
            "students.x: mse_teacher and mse_real are both 0",
        ),
        (
            {"students__x": {"model": "msdd", "mode": "joint_paper_code", "mse_real": 1}},
            "students.x: mode joint_paper_code needs mse_teacher",
        ),
        (
            {"students__x": {"model": "msdd", "noise": "zero", "mse_teacher": 0, "mse_real": 1}},
            "students.x: noise is zero, but mode is per_scale; only joint and finetune",
        ),
        (
            {"students__x": {"model": "msdd", "mode": "joint", "noise": "zero"}},
            "students.x: noise is zero; that needs mse_teacher 0",
        ),
        (
            {
                "students__x": PLAIN,
                "decodes__x": {"of": "x", "noise": "drawn"},
            },
            "decodes.x.noise is drawn; x is trained without noise: leave it out",
        ),
        (
            {
                "students__x": {
                    "model": "msdd",
                    "mode": "joint_paper_code",
                    "frechet": {"weight": 1, "networks": ["inception"], "half_life": 2048},
                }
            },
            "students.x: frechet is set; joint_paper_code, which follows",
        ),
        (
            {
                "distil__frechet": {
                    "weight": 1,
                    "networks": ["efficientnet-lite0", "inception"],
                    "half_life": 1280,
                }
            },
            "students.msdd-1step: frechet.half_life is 1280; inception has 2048 features",
        ),
        (
            {"distil__frechet": {"weight": 1, "networks": ["inception"] * 2, "half_life": 2048}},
            "students.msdd-1step: frechet.networks names a network twice",
        ),
        ({"stage1__batch": 2}, "models.msdd: batch 2 is less than scales 3"),
        ({"ablations__steps__of": "y"}, "ablations.steps.of is 'y'; known: teacher, "),
        (
            {"decodes__x": {"of": "y"}},
            "decodes.x.of is 'y'; rows of models and students: msdd, one-scale, msdd-1step, ",
        ),
        ({"decodes__x": {"of": "msdd"}}, "decodes.x.steps is missing"),
        (
            {"decodes__x": {"of": "msdd", "steps": 2}},
            "decodes.x.steps is 2; 3 scales need at least 3",
        ),
        (
            {"decodes__x": {"of": "msdd", "steps": [1, 1]}},
            "decodes.x.steps is a list of 2; the model has 3",
        ),
        (
            {"decodes__x": {"of": "msdd-1step", "guidance": 2}},
            "decodes.x.guidance: a student takes one step",
        ),
        ({"evaluate__protocols": ["titok", "primary"]}, "evaluate.protocols begins with titok"),
        ({"evaluate__images": 10**6}, "evaluate.images is 1000000, more than data.held_out_crops"),
        (
            {"data__crop_side": [0.9, 0.3]},
            "data.crop_side is [0.9, 0.3]; the smaller side comes first",
        ),
    ],
)
def test_values_that_do_not_fit_each_other(changes, line):
    assert any(told.startswith(f"p.yaml: {line}") for told in mistakes(**changes))


def test_a_frechet_distance_may_be_the_only_loss_of_a_chain():
    for noise in ("drawn", "zero"):
        row = ALONE | {"mode": "joint", "noise": noise, "images": 6400}
        parse(changed(students__x=row), "p.yaml")


def test_several_mistakes_are_several_lines():
    assert len(mistakes(seed=-1, data__resolution=0, stage1__btach=1)) == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("seed: 1\nmodel: 2\nseed: 3\n", "line 3: the key 'seed' appears twice"),
        ("seed: [1", "line 1: "),
        ("", "the file is null; it should be a table with seed, "),
    ],
)
def test_a_file_that_is_no_params_file(tmp_path, text, line):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(MsddError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {line}")


def test_use_makes_a_preset_the_params_and_keeps_own_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = Path("params.yaml")
    presets.use("tiny", target)
    assert load(target) == load(ROOT / "presets/tiny.yaml")
    presets.use("demo", target)
    assert not Path("params.yaml.bak").exists()
    target.write_text(target.read_text() + "# mine\n")
    presets.use("tiny", target)
    assert Path("params.yaml.bak").read_text().endswith("# mine\n")
    Path("presets").mkdir()
    for damaged in (target, Path("presets/mine.yaml")):  # no UTF-8
        damaged.write_bytes(b"a: \xff")
    presets.use("tiny", target)
    assert Path("params.yaml.bak").read_text().endswith("# mine\n")  # what was promised to be kept
    assert Path("params.yaml.bak1").read_bytes() == b"a: \xff"
    with pytest.raises(MsddError, match="mine.yaml"):
        presets.use("mine", target)
    with pytest.raises(MsddError, match="no preset 'huge'; known: ablation, demo, "):
        presets.use("huge", target)


def test_the_ablation_preset_trains_nothing_of_the_demo_again():
    demo, ablation = (load(ROOT / f"presets/{name}.yaml").raw() for name in ("demo", "ablation"))
    for section, value in demo.items():
        rows = isinstance(value, dict) and section in ("models", "students", "decodes", "ablations")
        assert ablation[section].items() >= value.items() if rows else ablation[section] == value


def test_the_ssdd_preset_trains_the_demos_rows_as_the_demo_does():
    """A row of both presets is the same job with the same files."""
    demo, ssdd = (load(ROOT / f"presets/{name}.yaml").raw() for name in ("demo", "ssdd"))
    for section in ("seed", "cpu_threads", "data", "model", "stage1", "distil", "evaluate"):
        assert ssdd[section] == demo[section]
    for table in ("models", "students", "decodes"):
        common = demo[table].keys() & ssdd[table].keys()
        assert common and all(demo[table][row] == ssdd[table][row] for row in common)
