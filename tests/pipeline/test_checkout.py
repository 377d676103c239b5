"""Copies of a checkout that DVC's queue works in."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from msdd.data.photographs import divided, sources
from msdd.files import write_text
from msdd.pipeline import checkout


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The working directory: a copy of `tmp_path`, as DVC says."""
    folder = tmp_path / ".dvc/tmp/exps/tmpabcdef"
    folder.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(folder)
    return folder


def test_what_git_does_not_know_is_found_in_the_original(copy, tmp_path, tiny_params):
    for name in ("a.png", "b.png"):
        write_text(tmp_path / "photographs" / name, "")
    data = tiny_params.data.model_copy(update={"photographs": "photographs"})
    found = divided(sources(data, Path(".")), data)
    assert {one.path for side in found.values() for one in side} == {
        tmp_path / "photographs/a.png",
        tmp_path / "photographs/b.png",
    }


def test_a_copy_runs_the_code_that_it_holds(copy):
    """That of the time when the experiment was queued."""
    shutil.copytree(checkout.PACKAGE, copy / "msdd", ignore=shutil.ignore_patterns("__pycache__"))
    write_text(
        copy / "msdd/pipeline/fingerprint.py", "def closure_digest(module): return 'of the copy'"
    )
    command = [Path(sys.executable).with_name("msdd"), "fingerprint", "train"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "of the copy\n", done.stderr


def test_a_copy_without_a_package_runs_the_installed_one(copy):
    """That of a project of `msdd init`; a folder of another kind may be called like the package."""
    (copy / "msdd").mkdir()
    command = [Path(sys.executable).with_name("msdd"), "fingerprint", "train"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.strip()) == 64, done.stderr
