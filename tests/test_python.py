"""The public interface in Python: its types, and the examples."""

import inspect
import runpy
import sys
from pathlib import Path
from typing import Any, assert_type

import pytest
import torch
from skimage import data

import msdd
from msdd.evaluate.function import Report
from msdd.tokenizers.tokenizer import Tokenizer as Base

ROOT = Path(__file__).parents[1]


class Half:
    """Satisfies the protocol without a base class, which `mypy` checks in `make lint`."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        return images / 2

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents * 2


def test_consumers_see_types(trained: Path) -> None:
    """`assert_type` does nothing at runtime; mypy fails where the type is another."""
    made = msdd.load(trained / "runs/msdd/msdd-1step")
    assert_type(made, Base)
    mine: msdd.Tokenizer = Half()
    also: msdd.Tokenizer = made
    images = torch.rand(2, 3, 16, 16)
    assert_type(mine.decode(mine.encode(images)), torch.Tensor)
    report = msdd.evaluate(also, images, protocol="msdd", features="none")
    assert_type(report, Report)
    assert_type(report["names"], list[str])
    assert_type(report["protocols"]["msdd"]["metrics"], dict[str, Any])
    assert isinstance(mine, msdd.Tokenizer)


def test_evaluate_shows_its_arguments_to_notebooks() -> None:
    assert "originals" in inspect.signature(msdd.evaluate).parameters


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Here the progress, and the warning that floats are in another range than [-1, 1]."""
    images = torch.full((2, 3, 16, 16), 200.0)

    def darker(x: torch.Tensor) -> torch.Tensor:
        return (x + 1) / 2

    def measure(**more: bool) -> str:
        msdd.evaluate(darker, images.to(torch.uint8), protocol="msdd", features="none", **more)
        return capsys.readouterr().err

    assert "msdd: warning:" in measure() and measure(quiet=True) == ""


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the models of the preset tiny, and photographs."""
    from PIL import Image

    (tmp_path / "runs").symlink_to(trained / "runs")
    (tmp_path / "photos").mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        pixels = getattr(data, name)()[:200, :240]
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("measure_your_tokenizer", ["photos"], ["llamagen", "PSNR ↑"]),
        ("train_and_distil", ["photos", "work"], ["stage1: 2 passes", "msdd-1step: 2 passes"]),
    ],
)
def test_an_example_runs(here, monkeypatch, capsys, name, given, expected):
    script = str(ROOT / "examples" / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [script, *given])
    monkeypatch.setattr("msdd.weights.pretrained.TIMEOUT", 1)
    runpy.run_path(script, run_name="__main__")
    said = capsys.readouterr().out
    assert all(text in said for text in expected)
