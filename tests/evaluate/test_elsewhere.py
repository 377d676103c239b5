"""Rows of `decodes` that were trained elsewhere: the same numbers, and what makes them stale."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from msdd.commands.stages import run_stage
from msdd.errors import MsddError
from msdd.files import read_json
from msdd.params.load import parse
from msdd.params.sections import Given
from msdd.pipeline import layout
from msdd.tokenizers import elsewhere
from msdd.tokenizers.catalogue import load
from msdd.tokenizers.systems import SYSTEMS
from msdd.weights import addresses, hub

HALF = """
import torch.nn.functional as F
class Half:
    def encode(self, x): return F.avg_pool2d(x, {factor})
    def decode(self, z): return F.interpolate(z, scale_factor={factor}.0)
half = Half()
whole = lambda x: half.decode(half.encode(x))
"""


def with_row(params, **row):
    """The params with one more decode, `theirs`."""
    raw = params.raw()
    raw["evaluate"] |= {"images": 6, "batch": 4, "lpips": []}
    return parse(raw | {"decodes": raw["decodes"] | {"theirs": row}})


def evaluate(params, root):
    run_stage(params, "evaluate", root, decode="theirs")
    return read_json(root / layout.evaluation(None, None, "theirs"))


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(HALF.format(factor=2))
    return f"{tmp_path / 'mine.py'}:half"


def test_an_object_of_the_users_is_measured_by_the_stage(tiny_params, workdir, mine):
    report = evaluate(with_row(tiny_params, tokenizer=mine), workdir)
    crops = np.load(workdir / layout.prepared() / "held_out/00000.npy")[:6].astype(float)
    n, h, w, c = crops.shape
    means = crops.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4)).round()
    errors = ((crops - means.repeat(2, 1).repeat(2, 2)) ** 2).mean((1, 2, 3))
    wanted = 10 * np.log10(255**2 / errors)
    assert report["protocols"]["primary"]["per_image"]["psnr"] == pytest.approx(wanted, abs=0.05)
    assert (report["tokens"], report["dim"], report["tokenizer"]) == (
        (h // 2) ** 2,
        3,
        "mine.py:half",
    )


def test_a_function_has_the_same_quality_and_its_speed_is_of_the_whole(tiny_params, workdir, mine):
    halves = evaluate(with_row(tiny_params, tokenizer=mine), workdir)
    timing = workdir / layout.timing(layout.evaluation(None, None, "theirs"))
    assert "region" not in read_json(timing)
    params = with_row(tiny_params, tokenizer=mine.replace(":half", ":whole"))
    report = evaluate(params, workdir)
    assert report["protocols"] == halves["protocols"]
    unknown = [report[key] for key in ("tokens", "dim", "bits", "nfe")]
    assert (unknown, report["parameters"]) == ([None] * 4, 0)
    assert read_json(timing)["region"] == "both"


def test_a_model_that_went_elsewhere_decodes_as_it_did_here(tiny_params, trained, tmp_path):
    root = tmp_path / "here"
    shutil.copytree(trained, root)
    there = tmp_path / "there"
    shutil.copytree(root / layout.stage1("msdd"), there)
    teacher = tiny_params.decodes["teacher"]
    params = with_row(
        tiny_params, tokenizer=str(there), steps=teacher.steps, guidance=teacher.guidance
    )
    theirs = evaluate(params, root)
    run_stage(params, "evaluate", root, decode="teacher")
    ours = read_json(root / layout.evaluation("msdd", None, "teacher"))
    assert theirs["protocols"] == ours["protocols"]
    assert theirs["weights"].keys() == {"model.safetensors"}


def test_content_decides_not_place_or_time(tiny_params, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(HALF.format(factor=2))

    def digest(name):
        params = with_row(tiny_params, tokenizer=f"{name}/mine.py:half")
        return elsewhere.weights_digest(params, "theirs", tmp_path)

    before = digest("a")
    assert before == digest("b")
    (tmp_path / "b/mine.py").write_text(HALF.format(factor=4))
    assert digest("b") != before
    elsewhere.write_digests(with_row(tiny_params, tokenizer="a/mine.py:half"), tmp_path)
    assert (tmp_path / layout.weights() / "theirs").read_text() == f"{before}\n"
    elsewhere.write_digests(tiny_params, tmp_path)
    assert list((tmp_path / layout.weights()).iterdir()) == []


def test_weights_that_encode_count_by_content(tiny_params, tmp_path):
    """Both engines see them, and the task of `latents` names them."""
    names = SYSTEMS["taef2"].halves
    for name in names:
        (tmp_path / name).write_text(name)
    stage1 = tiny_params.stage1.model_copy(
        update={"encoder": Given(tokenizer="taef2", checkpoint=str(tmp_path))}
    )
    params = tiny_params.model_copy(update={"stage1": stage1})
    digests, name = [], params.latents_of("msdd")
    for text in ("encodes", "encodes otherwise"):
        (tmp_path / names[0]).write_text(text)
        elsewhere.write_digests(params, tmp_path)
        digests.append((tmp_path / layout.encoders() / name).read_text())
    assert digests[0] != digests[1]
    read = elsewhere.inputs(params, "latents", {"encoder": name}, tmp_path)
    assert {tmp_path / name for name in names} < set(read)


def test_results_stand_without_the_weights(tiny_params, workdir, mine):
    params = with_row(tiny_params, tokenizer=mine)
    evaluate(params, workdir)
    before = elsewhere.weights_digest(params, "theirs", workdir)
    Path(mine.partition(":")[0]).unlink()
    assert elsewhere.weights_digest(params, "theirs", workdir) == before


def test_an_artefact_of_mlflow_is_a_model_folder(trained, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(addresses, "user_cache_path", lambda name: tmp_path / "cache")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    made = client.create_experiment("e", artifact_location=(tmp_path / "artefacts").as_uri())
    run = client.create_run(made).info.run_id
    folder = trained / layout.stage1("msdd")
    for file in layout.MODEL_FILES:
        client.log_artifact(run, str(folder / file), "model")
    fetched = load(f"mlflow:/{run}/model", steps=2)
    images = torch.rand(1, 3, *[fetched.resolution] * 2) * 2 - 1
    assert torch.equal(fetched.reconstruct(images), load(folder, steps=2).reconstruct(images))
    with pytest.raises(MsddError, match="cannot be fetched from MLflow"):
        load(f"mlflow:/{run}/nothing")
    with pytest.raises(MsddError, match="not of the form mlflow:/RUN/ARTIFACT"):
        load("mlflow:/../x")


def test_a_repository_of_the_hub_is_a_folder(trained, tmp_path, monkeypatch):
    asked = []

    def fetch(repository, file, revision=None):
        asked.append((repository, file, revision))
        return trained / layout.stage1("msdd") / Path(file).name

    monkeypatch.setattr(hub, "fetch", fetch)
    made = load("hf://somebody/decoder@v2/teacher", steps=2)
    assert made.files.keys() == {"model.safetensors"}
    files = ("teacher/config.json", "teacher/model.safetensors")
    assert asked == [("somebody/decoder", file, "v2") for file in files]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "decodes.theirs must name either `of`"),
        ({"of": "msdd", "tokenizer": "taef2", "steps": 2}, "decodes.theirs must name either `of`"),
        ({"of": "msdd-1step", "checkpoint": "x"}, "decodes.theirs.checkpoint belongs to"),
        ({"tokenizer": "taef2", "noise": "zero"}, "decodes.theirs.noise: only decodes of rows"),
        ({"tokenizer": "taef3"}, "decodes.theirs.tokenizer is taef3.*did you mean taef2"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(tiny_params, row, told):
    with pytest.raises(MsddError, match=told):
        with_row(tiny_params, **row)


def test_what_cannot_be_measured_says_why(tiny_params, workdir, mine):
    with pytest.raises(MsddError, match="there is no file .*none.safetensors"):
        row = {"tokenizer": "taef2", "checkpoint": str(workdir / "none.safetensors")}
        evaluate(with_row(tiny_params, **row), workdir)
