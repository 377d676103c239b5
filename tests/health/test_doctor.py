"""`msdd doctor`: what these params need decides what is an error."""

import json
import re
from pathlib import Path

import pytest
from test_cli import ROOT

from msdd import cli
from msdd.health import machine, networks, project
from msdd.params.load import parse
from msdd.pipeline import layout, lock
from msdd.tracking import outbox


@pytest.fixture
def raw(tiny_params):
    return tiny_params.raw()


def findings(capsys, *arguments: str) -> tuple[int, dict[str, list[dict]]]:
    status = cli.main(["doctor", "--json", *arguments])
    told: dict[str, list[dict]] = {}
    for one in json.loads(capsys.readouterr().out)["findings"]:
        told.setdefault(one["about"], []).append(one)
    return status, told


def test_a_working_directory_that_has_all_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "presets/tiny.yaml").read_text())
    status, told = findings(capsys)
    assert status == 0, told
    assert {"params", "device", "python", "mlflow", "weights vgg16", "disk", "lock"} <= told.keys()
    assert cli.main(["doctor"]) == 0
    assert re.search(
        r"^ok +disk +[\d.,]+ GB free, [\d.,]+ GB needed", capsys.readouterr().out, re.M
    )


def test_mistakes_in_the_params_and_missing_photographs_are_errors(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "presets/tiny.yaml").read_text()
    Path("params.yaml").write_text(text.replace("seed: 0", "sead: 0"))
    status, told = findings(capsys)
    assert status == 1 and {one["state"] for one in told["params"]} == {"missing"}
    Path("params.yaml").write_text(text.replace("photographs: embedded", "photographs: nowhere"))
    status, told = findings(capsys)
    assert status == 1 and "there is no folder nowhere" in told["photographs"][0]["text"]


def test_without_params_nothing_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    status, told = findings(capsys)
    assert status == 0 and "msdd params use demo" in told["params"][0]["cure"]


def test_weights_are_needed_by_what_loads_them(raw):
    raw["evaluate"] |= {"lpips": ["vgg"], "features": "inception"}
    raw["evaluate"]["protocols"] = ["primary"]
    raw["distil"] |= {"lpips": 0.0, "gan": 0.1, "discriminator": "dino"}
    raw["stage1"]["lpips"] = 0.0
    raw["students"] = {"msdd-1step": {"model": "msdd"}}
    raw |= {"decodes": {"student": {"of": "msdd-1step"}}, "ablations": {}}
    raw["throughput"]["systems"] = "all"
    params = parse(raw)
    assert networks.needed(params) == {"vgg16", "inception", "dino-vit-s16"}
    assert "dino" in project.packages(params)


def test_all_that_a_protocol_or_a_loss_loads_is_needed(raw):
    """As `msdd evaluate` and the trainings load it."""
    raw["evaluate"] |= {"protocols": ["extended"], "lpips": ["alex"]}
    raw["stage1"]["lpips"], raw["distil"]["lpips"] = 0.0, 0.0
    raw["distil"]["images"] = 192 * 32  # the loss begins after 4,096
    params = parse(raw)
    assert {"dists", "vgg16", "efficientnet-lite0", "clip-l14-336"} <= networks.needed(params)
    assert {"text", "faces"} <= project.packages(params)
    raw["evaluate"] |= {"protocols": ["primary"], "features": "efficientnet-lite0"}
    for weight, more in ((0.1, {"inception"}), (0.0, set())):
        frechet = {"weight": weight, "networks": ["inception"], "half_life": 2048}
        raw["distil"]["frechet"] = frechet
        assert networks.needed(parse(raw)) == {"alexnet", "efficientnet-lite0"} | more


def test_weights_that_cannot_be_had_are_an_error_only_where_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(networks.pretrained, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(networks.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(networks, "answers", lambda url: False)
    states = {
        needed: {one.about: one for one in networks.measuring({"inception"} if needed else set())}
        for needed in (True, False)
    }
    missing = states[True]["weights inception"]
    assert missing.state == "missing" and "pt_inception-2015-12-05" in missing.cure
    assert str(tmp_path) in missing.cure and "MSDD_WEIGHTS" in missing.cure
    assert states[False]["weights inception"].state == "warn"


def test_rows_that_were_trained_elsewhere_are_looked_for(raw, tmp_path):
    raw["decodes"]["mine"] = {"tokenizer": "mine.py:tokenizer"}
    raw["decodes"]["hub"] = {"tokenizer": "hf://somebody/decoder@v2"}
    params = parse(raw)
    mine, far = networks.given(params, tmp_path)
    assert mine.about == "decodes.mine" and mine.state == "missing"
    assert f"there is no file {tmp_path / 'mine.py'}" in mine.text
    assert far.state == "ok" and far.text == "hf://somebody/decoder@v2 is fetched at first use"
    evaluation = tmp_path / layout.evaluation(*params.source("mine"), "mine")
    evaluation.parent.mkdir(parents=True)
    evaluation.write_text("{}")
    assert next(networks.given(params, tmp_path)).state == "warn"
    (tmp_path / "mine.py").write_text("")
    assert next(networks.given(params, tmp_path)).text == str(tmp_path / "mine.py")


def test_packages_are_an_error_only_where_needed(raw):
    raw["throughput"]["variants"] = ["plain", "openvino-int8"]
    assert project.packages(parse(raw)) == {"openvino"}
    (one,) = [one for one in machine.optional({"dreamsim"}) if one.about == "dreamsim"]
    assert one.state in ("missing", "ok") and (one.state == "ok" or "pip install" in one.cure)


def test_a_lock_that_is_held_names_its_holder(tmp_path):
    path = tmp_path / "checkpoints" / "runs" / "msdd" / "lock"
    path.parent.mkdir(parents=True)
    with lock.hold(path):
        (held,) = project.locks(tmp_path)
        assert held.state == "warn" and "is held by process " in held.text
    (free,) = project.locks(tmp_path)
    assert free.state == "ok"


def test_a_lock_that_cannot_be_opened_is_nobody_s(tmp_path):
    """As on a file system that is read-only now: `disk` tells that."""
    path = tmp_path / "checkpoints" / "runs" / "lock"
    path.mkdir(parents=True)  # root may open any file, and no folder
    (free,) = project.locks(tmp_path)
    assert free.state == "ok"


def test_runs_that_wait_and_a_server_that_is_down_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # discard: nobody listens
    folder = outbox.folder(tmp_path) / "run"
    folder.mkdir(parents=True)
    outbox.append(folder, {"status": "FINISHED"})
    waiting, store = project.tracking(tmp_path)
    assert waiting.text.startswith("1 runs wait") and waiting.cure.startswith("`msdd track`")
    assert store.state == "warn" and "does not answer" in store.text
