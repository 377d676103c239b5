"""`~` is the home folder in params, options and variables, also where no shell expands it."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from msdd import cli, load
from msdd.data import photographs
from msdd.errors import MsddError
from msdd.evaluate import protocols
from msdd.files import digest, expand_user
from msdd.params.load import load as load_params
from msdd.params.sections import Given
from msdd.pipeline import jobs
from msdd.train import frozen_encoder
from msdd.weights import hub, pretrained

TINY = Path(__file__).parents[1] / "presets/tiny.yaml"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder, and another one as the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "me"


def test_only_homes_that_there_are(home):
    assert expand_user("~/a") == expand_user("~/a", "/else") == home / "a"
    assert expand_user("a/~") == Path("a/~")
    assert expand_user("~nobody-of-this-name", "/x") == Path("/x/~nobody-of-this-name")


def test_photographs(home, monkeypatch):
    """Also in DVC's copy of a checkout, whose paths are those of the checkout."""
    monkeypatch.setenv("DVC_ROOT", str(home.parent))
    params = load_params(TINY)
    data = params.data.model_copy(update={"photographs": "~/train", "held_out": "~/test"})
    params = params.model_copy(update={"data": data})
    assert len(jobs.missing(params)) == 2
    for name in ("train", "test"):
        (home / name).mkdir()
        (home / name / "1.png").write_bytes(b"")
    assert not jobs.missing(params)
    found = photographs.divided(photographs.sources(data, Path()), data)
    folders = [one.folder for split in found.values() for one in split]
    assert folders == [str(home / "train"), str(home / "test")]
    inside = data.model_copy(update={"held_out": "~/train/../train"})
    with pytest.raises(MsddError, match="contain each other"):
        photographs.sources(inside, Path())


def test_files_of_weights(home, monkeypatch):
    save_file({"encoder.weight": torch.ones(2, 2)}, home / "given.safetensors")
    given = Given(file="~/given.safetensors", sha256=digest(home / "given.safetensors"))
    encoder = torch.nn.Linear(2, 2, bias=False)
    frozen_encoder.load_frozen_encoder(encoder, given, Path("/else"))
    assert encoder.weight.sum() == 4
    assert hub.locate("~/given.safetensors", ["model"]) == [home / "given.safetensors"]
    monkeypatch.setenv("MSDD_WEIGHTS", "~")
    assert pretrained.folders()[0] == hub.folders()[0] == home


def test_model_folders(home):
    (home / "model").mkdir()
    with pytest.raises(MsddError, match=f"{home}/model"):
        load("~/model")


def test_files_of_protocols(home):
    (home / "own.yaml").write_text("own: { base: primary }")
    assert list(protocols.load(["~/own.yaml"])) == ["own"]


def test_options(home, monkeypatch):
    """All that are paths, as `--images=~/x`; a file that will be written is looked at there."""
    told = {}
    monkeypatch.setattr("msdd.commands.evaluate.evaluate", lambda args: told.update(vars(args)))
    names = ("images", "reference", "export-reference", "json", "against", "work")
    options = [f"--{name}=~/{name}" for name in names]
    assert cli.main(["--params=~/p", "evaluate", "--tokenizer=a:b", *options]) == 0
    paths = {name: told[name.replace("-", "_")] for name in (*names, "params")}
    assert paths == {name: home / name for name in names} | {"params": home / "p"}
    assert cli.main(["--params", str(TINY), "flops", "--json=~/flops.json"]) == 0
    assert (home / "flops.json").exists() and not os.listdir()
