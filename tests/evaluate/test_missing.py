"""Weights that are not here: an error by default, a dash and a reason with `--missing skip`."""

import json

import pytest
from two_folders import COUNT

from msdd.cli import main
from msdd.errors import MsddError
from msdd.weights import pretrained


@pytest.fixture
def few(monkeypatch):
    """No weights of VGG16 and Inception, wherever they are looked for."""
    found = pretrained.tensors

    def tensors(name):
        if name in ("vgg16", "inception"):
            raise MsddError(f"no weights for '{name}'")
        return found(name)

    monkeypatch.setattr(pretrained, "tensors", tensors)


def run(folders, *more) -> int:
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    return main(["evaluate", *sides, *more])


@pytest.mark.parametrize(("protocol", "network"), [("primary", "vgg16"), ("msdd", "inception")])
def test_missing_weights_are_an_error_that_names_the_option(
    folders, few, capsys, protocol, network
):
    assert run(folders, "--protocol", protocol) == 1
    said = capsys.readouterr().err
    assert f"no weights for '{network}'" in said and "--missing skip" in said


def test_metrics_without_weights_are_named_and_the_rest_is_measured(
    folders, few, tmp_path, capsys, monkeypatch
):
    """The state of an evaluation that skipped is none of one that has all weights."""
    file, work = tmp_path / "m.json", ["--work", str(tmp_path / "work")]
    skip = ["--missing", "skip", "--json", str(file), *work]
    assert run(folders, "--protocol", "primary", *skip) == 0
    report = json.loads(file.read_text())
    reasons = {"fd_inception": "no weights for 'inception'", "lpips_vgg": "no weights for 'vgg16'"}
    assert reasons.items() <= report["not_measured"].items()
    metrics = report["protocols"]["primary"]["metrics"]
    assert {"psnr", "ssim", "lpips_alex"} <= metrics.keys() and not reasons.keys() & metrics.keys()
    assert report["protocols"]["primary"]["protocol"]["fid"]["features"] == "inception"
    said = capsys.readouterr().out
    empty = {line.rsplit(None, 1)[0] for line in said.splitlines() if line.endswith(" –")}
    assert {"rFID ↓", "LPIPS vgg ↓"} <= empty
    assert "lpips_vgg is not measured: no weights for 'vgg16'" in said
    monkeypatch.undo()
    more = ["--features", "efficientnet-lite0", "--json", str(file), *work]
    assert run(folders, "--protocol", "primary", *more) == 0
    report = json.loads(file.read_text())
    assert len(report["protocols"]["primary"]["per_image"]["lpips_vgg"]) == COUNT
    assert "lpips_vgg" not in report["not_measured"]


def test_nothing_left_is_an_error(folders, few, capsys):
    assert run(folders, "--protocol", "titok", "--missing", "skip") == 1
    assert "no metric is left: no weights for 'inception'" in capsys.readouterr().err


def test_json_may_be_all_of_standard_output(folders, capsys):
    assert run(folders, "--protocol", "msdd", "--features", "none", "--json", "-") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["images"] == COUNT and "PSNR" in said.err
