"""What a params file costs: identities of the estimate, and a finished run as recorded."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from msdd import cli
from msdd.ceilings import DEVICES, Ceilings
from msdd.errors import MsddError
from msdd.files import write_json, write_text
from msdd.params.load import load, parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import jobs, layout
from msdd.pipeline.task import resolve
from msdd.speed import costs, estimate, rows
from msdd.speed.all_work import all_work, photograph_bytes
from msdd.speed.work import wanted
from msdd.train.joint_paper_code import start_of

ROOT = Path(__file__).parents[2]
RAW = read_yaml(ROOT / "presets/tiny.yaml")
DEMO = load(ROOT / "presets/demo.yaml")
PLAIN = Ceilings(None, 1e11, 1e10, "made up")
HERE = "a processor"


def estimates(work, known=None):
    known = known or {}
    return [
        estimate.Estimate(one, estimate.arithmetic(one, PLAIN, "cpu"), known.get(one.key))
        for one in work
    ]


def told(params, known=None, slots=1):
    return estimate.document(estimates(all_work(params), known), slots)


def test_there_is_the_work_of_every_job():
    work = all_work(DEMO)
    assert str(len(work)) == jobs.plan(DEMO)["jobs"]
    keys = [one.key for one in work]
    assert len(set(keys)) == len(keys)
    for i, one in enumerate(work):
        assert set(one.needs) <= set(keys[:i])


def test_stages_sum_to_the_total():
    found = told(DEMO)
    for i in range(2):
        assert sum(stage["seconds"][i] for stage in found["stages"]) == pytest.approx(
            found["seconds"][i]
        )
    assert sum(stage["jobs"] for stage in found["stages"]) == found["jobs"]


def test_one_after_the_other_takes_all_seconds_and_more_at_once_no_less_than_a_path():
    alone, many = told(DEMO), told(DEMO, slots=1000)
    assert alone["wall_seconds"] == pytest.approx(alone["seconds"])
    one = {job.work.key: job.seconds[0] for job in estimates(all_work(DEMO))}
    path = ("prepare", "train@msdd", "distil@msdd-1step-scale2", "assemble@msdd-1step")
    assert many["wall_seconds"][0] > sum(one[key] for key in path)
    assert many["wall_seconds"][0] < alone["wall_seconds"][0]


@pytest.mark.parametrize(("section", "stage"), [("stage1", "train"), ("distil", "distil")])
def test_twice_the_images_are_twice_the_hours(section, stage):
    longer = parse(RAW | {section: RAW[section] | {"images": 2 * RAW[section]["images"]}})
    short, long = (
        [one for one in all_work(params) if one.stage == stage] for params in (parse(RAW), longer)
    )
    for one, two in zip(short, long, strict=True):
        beside = estimate.arithmetic(replace(one, images=0), DEVICES["h100"], "gpu")
        for i in range(2):
            once, twice = (
                estimate.arithmetic(work, DEVICES["h100"], "gpu")[i] - beside[i]
                for work in (one, two)
            )
            assert twice == pytest.approx(2 * once) and once > 0


def test_a_row_s_own_depth_counts_as_the_default_one():
    """Kernel launches too, which decide a small model's time on a GPU."""
    deep = RAW | {"model": RAW["model"] | {"depth": 24}}
    rows = {row: {**(of or {}), "model": {**((of or {}).get("model") or {}), "depth": 24}}
            for row, of in RAW["models"].items()}  # fmt: skip
    found = [
        {one.key: estimate.arithmetic(one, DEVICES["h100"], "gpu") for one in all_work(parse(raw))}
        for raw in (deep, RAW | {"models": rows})
    ]
    assert found[0] == found[1]


def test_the_flops_are_those_that_trainings_count():
    """Of the demo, as `torch.utils.flop_counter` counted them in trainings: within 1 %."""
    counted = {
        "train@msdd": 213.5e6,
        "train@one-scale": 339.8e6,
        "distil@msdd-1step-scale0": 135.9e6,
        "distil@msdd-1step-scale1": 229.7e6,
        "distil@msdd-1step-scale2": 625.4e6,
        "chain@msdd-finetuned": 416.8e6,
    }
    work = {one.key: one for one in all_work(DEMO)}
    assert {key: work[key].flops for key in counted} == pytest.approx(counted, rel=0.01)


def test_the_teacher_of_the_authors_way_is_counted_from_the_scale_it_begins_at():
    raw = read_yaml(ROOT / "presets/demo.yaml")
    joint = {"model": "msdd", "mode": "joint_paper_code", "mse_real": 0.0, "guidance": 1.0}
    raw["students"] |= {"paper": joint, "joint": joint | {"mode": "joint", "teacher_steps": 1}}
    params = parse(raw)
    work = {one.key: one for one in all_work(params)}
    config = rows.config_of(params, "msdd")
    begins = [start_of(u, config.flow) for u in np.arange(0.0005, 1, 0.001)]
    missing = sum(
        np.mean([begin > k for begin in begins]) * costs.evaluation_flops(config, side)
        for k, side in enumerate(config.sides)
    )
    found = work["chain@joint"].flops - work["chain@paper"].flops
    assert found == pytest.approx(missing, rel=0.01)


def test_an_encoder_that_is_trained_on_goes_back_as_well():
    raw = read_yaml(ROOT / "presets/demo.yaml")
    frozen = {"model": "msdd", "mode": "joint", "mse_teacher": 0.0}
    raw["students"] |= {"frozen": frozen, "trained": frozen | {"train_encoder": True}}
    params = parse(raw)
    work = {one.key: one for one in all_work(params)}
    encoder = costs.encoder_flops(rows.config_of(params, "msdd"))
    assert work["chain@trained"].flops - work["chain@frozen"].flops == 2 * encoder


def test_a_target_is_what_it_needs():
    work = all_work(DEMO)
    assert wanted(work, "all") == work
    keys = {one.key for one in wanted(work, "one-scale-student")}
    assert keys == {
        "prepare",
        "train@one-scale",
        "distil@one-scale-1step-scale0",
        "assemble@one-scale-1step",
        "evaluate@one-scale-student",
    }
    assert "throughput" not in {one.key for one in wanted(work, "ablation")}
    with pytest.raises(MsddError, match="no target 'nope'; known: all, table1, "):
        wanted(work, "nope")


@pytest.fixture
def finished(tmp_path):
    """Records of all jobs of the preset tiny on one device: one second more for each."""
    return record(parse(RAW), tmp_path)


WHERE = {"commit": None, "dirty": None, "versions": {}, "host": "here", "threads": 1, "rule": None}
WHERE |= {"command": [], "started": "2026-01-01 00:00:00+00:00"}


def record(params, root):
    for i, work in enumerate(all_work(params)):
        has_task = work.stage not in layout.REPORTS
        task = resolve(params, work.stage, root, () if not has_task else None, **work.wildcards)
        here = {"device": HERE, "seconds": 10.0 + i, "engine": "dvc", "made": {}} | WHERE
        write_json(root / layout.provenance(work.artefact), task.record() | here)
    return root


def test_a_finished_run_is_estimated_as_it_was(finished):
    params = parse(RAW)
    work = all_work(params)
    known = estimate.recorded(work, params, finished, HERE)
    assert known == {one.key: 10.0 + i for i, one in enumerate(work)}
    found = told(params, known)
    assert found["seconds"] == pytest.approx([sum(known.values())] * 2)
    assert all(stage["recorded_jobs"] == stage["jobs"] for stage in found["stages"])
    assert estimate.recorded(work, params, finished, "another processor") == {}


def test_a_record_counts_for_another_length_and_not_for_another_network(finished):
    longer = parse(RAW | {"stage1": RAW["stage1"] | {"images": 3 * RAW["stage1"]["images"]}})
    known = estimate.recorded(all_work(longer), longer, finished, HERE)
    assert known["train@msdd"] == 3 * 11.0 and known["distil@msdd-1step-scale0"] == 12.0
    data = RAW["data"] | {key: 2 * RAW["data"][key] for key in ("train_crops", "held_out_crops")}
    more = parse(RAW | {"data": data})
    assert estimate.recorded(all_work(more), more, finished, HERE)["prepare"] == 2 * 10.0
    every = parse(RAW | {"evaluate": RAW["evaluate"] | {"images": None}})
    assert "evaluate@student" not in estimate.recorded(all_work(every), every, finished, HERE)
    wider = parse(RAW | {"model": RAW["model"] | {"width": 64}})
    known = estimate.recorded(all_work(wider), wider, finished, HERE)
    assert "prepare" in known and "baseline@bicubic" in known
    assert not {key for key in known if key.partition("@")[0] in ("train", "distil", "evaluate")}


def test_snakemakes_seconds_count_where_they_are_of_the_same_run(finished):
    params = parse(RAW)
    place = finished / layout.provenance(layout.scale("msdd", "msdd-1step", 0))
    noted = json.loads(place.read_text()) | {"engine": "snakemake"}
    write_json(place, noted)
    file = finished / "benchmarks/distil/msdd/msdd-1step/scale0.tsv"
    for outside, expected in ((14.5, 14.5), (1.5, 12.0), (500.0, 12.0)):
        write_text(file, f"s\th:m:s\n{outside}\t0:00:14\n")
        known = estimate.recorded(all_work(params), params, finished, HERE)
        assert known["distil@msdd-1step-scale0"] == expected


def test_benchmarks_are_where_the_rules_put_them():
    """As the rules of workflow/rules write them out."""
    expected = {
        "prepare": "prepare/prepare",
        "train@msdd": "train/msdd",
        "distil@msdd-1step-scale1": "distil/msdd/msdd-1step/scale1",
        "assemble@msdd-1step": "assemble/msdd/msdd-1step",
        "chain@finetuned": "chain/msdd/finetuned",
        "evaluate@teacher": "evaluate/msdd/stage1/teacher",
        "evaluate@student": "evaluate/msdd/msdd-1step/student",
        "baseline@bicubic": "baseline/bicubic",
        "throughput": "throughput/throughput",
        "table2": "table2/table2",
    }
    work = {one.key: one for one in all_work(parse(RAW))}
    for key, path in expected.items():
        assert estimate.benchmark(work[key]) == Path("benchmarks") / f"{path}.tsv"


def test_disk_is_weights_and_crops():
    params = parse(RAW)
    config = rows.config_of(params, "msdd")
    from msdd.speed import costs

    encoder, decoder = costs.encoder_weights(config), costs.decoder_weights(config)
    weights = encoder + decoder + 2 * decoder + 2 * (encoder + 2 * decoder)
    crops = (256 + 32) * 16 * 16 * 3
    assert told(params)["disk_bytes"] == crops + 4 * weights


def test_photographs_that_are_reduced_take_less():
    sides = [photograph_bytes(side) for side in (64, 128, 320, 512, 1024, None)]
    assert sides == sorted(sides) and sides[2:4] == [74_000, 101_000]  # docs/imagenet.md
    assert 14_000 < sides[1] < 20_000


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "presets/tiny.yaml").read_text())
    assert cli.main(["estimate", "--device", "h100", "table2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "table2" and found["stages"][-1]["stage"] == "table2"
    assert cli.main(["estimate", "--device", "h100"]) == 0
    assert "GPU-hours" in capsys.readouterr().out
    text = Path("params.yaml").read_text().replace("train_crops: 256", "train_crops: null")
    Path("params.yaml").write_text(text)
    assert cli.main(["estimate", "--device", "h100"]) == 1
    assert "--photographs TRAIN HELD_OUT" in capsys.readouterr().err
    assert cli.main(["estimate", "--device", "h100", "--photographs", "256", "32"]) == 0


def test_the_table_of_presets_is_fresh():
    command = [sys.executable, "-m", "msdd", "estimate", "--table", "--device", "h100"]
    command += ["--photographs", "1281167", "50000"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("<!-- preset costs -->\n")[1].split("<!-- /preset costs -->")[0]
    assert block == made


def test_an_estimate_of_a_named_device_needs_no_torch():
    code = "import sys; from msdd.cli import main; main(sys.argv[1:]); assert 'torch' not in "
    code += "sys.modules"
    given = ["estimate", "--device", "h100", "--preset", "demo"]
    subprocess.run([sys.executable, "-c", code, *given], cwd=ROOT, check=True, capture_output=True)
