"""The public interface in Python: its types, and the examples."""

import inspect
import pickle
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
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

    assert measure(quiet=True) == "" and "msdd: warning:" in measure()


def test_evaluations_in_threads_are_those_of_one_after_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Torch's random numbers, standard error and what others say on it."""
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    state, stream = torch.random.get_rng_state(), sys.stderr

    def noisy(x: torch.Tensor) -> torch.Tensor:
        return x + 0.1 * torch.randn_like(x)

    def measure(_: int) -> dict[str, Any]:
        report = msdd.evaluate(noisy, images, protocol="msdd", features="none", quiet=True)
        return report["protocols"]["msdd"]["metrics"]

    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(measure, k) for k in range(6)]
        while not all(one.done() for one in running):
            print("heard", file=sys.stderr)
            sleep(0.01)
    assert all(one.result() == running[0].result() for one in running)
    assert sys.stderr is stream and torch.equal(torch.random.get_rng_state(), state)
    said = capsys.readouterr().err
    assert set(said.splitlines()) == {"heard"}


def test_a_pool_of_processes_can_be_given_the_function() -> None:
    assert pickle.loads(pickle.dumps(msdd.evaluate)) is msdd.evaluate


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
