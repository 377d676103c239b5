"""A callable as a tokenizer: its range, its noise, its code, and its interruption."""

import importlib
import json
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from skimage import data

from msdd.cli import main
from msdd.evaluate import loop
from msdd.evaluate.named import Decoding, open_subject
from msdd.pipeline.stop import EXIT


def brighter(images: torch.Tensor) -> torch.Tensor:
    """What the command is given as `test_named:brighter`."""
    return images + 2 / 255


def test_any_callable_is_a_tokenizer(tmp_path, capsys):
    """One level up everywhere: 48.13 dB, and no rule but truncation sees it otherwise."""
    for k in range(3):
        Image.fromarray(data.astronaut()[90 * k :][:80] // 2).save(tmp_path / f"{k}.jpg")
    what = ["--tokenizer", "test_named:brighter", "--images", str(tmp_path), "--resolution", "32"]
    how = ["--features", "none", "--protocol", "msdd", "--protocol", "dito"]
    assert main(["evaluate", *what, *how]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["msdd", "48.13"], ["dito", "48.13"]]


def noisy(images: torch.Tensor) -> torch.Tensor:
    return images + 0.1 * torch.randn_like(images)


def test_noise_of_a_callable_depends_on_the_seed_alone(folders, tmp_path):
    what = ["--tokenizer", "test_named:noisy", "--images", str(folders / "o")]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd", "--batch", "2"]
    state, found = torch.get_rng_state(), []
    for k, seed in enumerate("001"):
        file = tmp_path / f"{k}.json"
        assert main(["evaluate", *what, *how, "--seed", seed, "--json", str(file)]) == 0
        found.append(json.loads(file.read_text())["protocols"]["msdd"]["per_image"]["psnr"])
    assert found[0] == found[1] != found[2]
    assert torch.equal(torch.get_rng_state(), state)


def loud(images: torch.Tensor) -> torch.Tensor:
    """Levels 0 to 255, but as floats."""
    return (images + 1) * 127.5


def test_a_range_that_is_not_the_expected_one_is_told_once(folders, capsys):
    what = ["--tokenizer", "test_named:loud", "--images", str(folders / "o"), "--batch", "2"]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd"]
    assert main(["evaluate", *what, *how]) == 0
    assert capsys.readouterr().err.count("test_named:loud seems to return values in [0, 255]") == 1


def interrupted(images: torch.Tensor) -> torch.Tensor:
    """Ctrl-C in the last of three batches."""
    calls.append(len(images))
    if len(calls) == 3:
        raise KeyboardInterrupt
    return images / 2


calls: list[int] = []


@pytest.mark.parametrize("kept", [True, False])
def test_what_is_said_of_an_interruption_holds(folders, tmp_path, capsys, kept):
    calls.clear()
    what = ["--tokenizer", "test_named:interrupted", "--images", str(folders / "o")]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd", "--batch", "2"]
    work = ["--work", str(tmp_path)] if kept else []
    assert main(["evaluate", *what, *how, *work]) == 130
    said = capsys.readouterr().err
    assert ("run the same command again to continue" in said) == kept
    assert ("nothing is kept" in said) != kept
    assert main(["evaluate", *what, *how, *work]) == 0
    assert ("resuming after 4 of 6 images" in capsys.readouterr().err) == kept


def ended(images: torch.Tensor) -> torch.Tensor:
    """A scheduler asks for the node in the first batch."""
    signal.raise_signal(signal.SIGTERM)
    return images / 2


@pytest.mark.parametrize(("kept", "code"), [(True, EXIT), (False, 1)])
def test_a_scheduler_is_told_to_come_again_only_where_something_is_kept(
    folders, tmp_path, capsys, kept, code
):
    what = ["--tokenizer", "test_named:ended", "--images", str(folders / "o")]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd", "--batch", "2"]
    assert main(["evaluate", *what, *how, *(["--work", str(tmp_path)] if kept else [])]) == code
    said = capsys.readouterr().err
    assert ("run the same command again to continue" in said) == kept
    assert ("with --work DIR it would go on" in said) != kept


def talking(images: torch.Tensor) -> torch.Tensor:
    print("a line of the user's")
    return images / 2


def test_standard_output_is_the_json_alone(folders, capsys):
    what = ["--tokenizer", "test_named:talking", "--images", str(folders / "o"), "--json", "-"]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd"]
    assert main(["evaluate", *what, *how]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 6 and "a line of the user's" in err


def signalled(images: torch.Tensor) -> torch.Tensor:
    """Somebody sends SIGINT in the middle of every batch."""
    signal.raise_signal(signal.SIGINT)
    return images / 2


def test_started_with_the_signal_ignored_it_runs_to_its_end(folders, tmp_path, sigint):
    """As under nohup and on many CI runners: what ignores Ctrl-C goes on ignoring it."""
    sigint(signal.SIG_IGN)
    what = ["--tokenizer", "test_named:signalled", "--images", str(folders / "o")]
    how = ["--resolution", "32", "--features", "none", "--protocol", "msdd", "--batch", "2"]
    assert main(["evaluate", *what, *how, "--work", str(tmp_path)]) == 0
    with loop.deferred_interrupt():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def code_of(name: str) -> str:
    for module in ("own_tokenizer", "own_helper"):
        sys.modules.pop(module, None)
    importlib.invalidate_caches()
    return open_subject(name, None, torch.device("cpu"), Decoding()).about["code"]


def test_a_changed_import_of_a_callable_is_another_tokenizer(tmp_path, monkeypatch):
    """Else a state in `--work` would give figures of the code before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("own_helper.py").write_text("factor = 2")
    Path("own_tokenizer.py").write_text("import own_helper\ndef f(x): return x / own_helper.factor")
    found = [code_of("own_tokenizer:f"), code_of("own_tokenizer:f")]
    Path("own_helper.py").write_text("factor = 1")
    assert found[0] == found[1] != code_of("own_tokenizer:f")


def test_a_callable_is_the_same_however_the_command_is_started(tmp_path, monkeypatch):
    """`python -m` and torchrun put the folder on the path, and a script may be `__mp_main__`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("own_tokenizer.py").write_text("def f(x): return x / 2")
    Path("command.py").write_text("")
    found = code_of("own_tokenizer.py:f")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    script = ModuleType("__mp_main__")
    script.__file__ = str(tmp_path / "command.py")
    monkeypatch.setitem(sys.modules, "__mp_main__", script)
    assert code_of("own_tokenizer.py:f") == found
    assert "own_tokenizer" in sys.modules and "own_tokenizer_of_user" not in sys.modules
