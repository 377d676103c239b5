"""The wheel, in an environment and a folder outside the checkout."""

import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msdd.files import read_json
from msdd.project_files import PARTS

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "msdd", *PARTS)
SDIST = "from setuptools import build_meta; build_meta.build_sdist('dist')"
OFFLINE = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
WHO = ("-c", "user.name=a", "-c", "user.email=a@localhost")
PIP = (sys.executable, "-m", "pip")
PLAIN = "plain: { crop: bicubic, psnr: { quantisation: round, pool: 1 } }\n"
TOKENIZER = "def tokenizer(images):\n    return images.round(decimals=1)\n"


def run(folder, *command):
    """What a command tells in `folder`, which knows nothing of the checkout."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Made from the source distribution, as `pip install` of that would."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    run(folder, sys.executable, "-c", SDIST)
    (archive,) = folder.glob("dist/*.tar.gz")
    run(folder, *PIP, "wheel", *OFFLINE, "--no-build-isolation", "-w", "wheels", archive)
    (made,) = folder.glob("wheels/*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The programs of an environment with the wheel, over the packages of this one.

    It lies in a repository of somebody else, whose commit is not that of the package.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(folder, "git", "init", "--quiet")
    run(folder, "git", *WHO, "commit", "--quiet", "--allow-empty", "-m", "Mine")
    run(folder, sys.executable, "-m", "venv", "--without-pip", "venv")
    packages = next(folder.glob("venv/lib/python*/site-packages"))
    (packages / "over.pth").write_text("\n".join(site.getsitepackages()))
    programs = folder / "venv/bin"
    run(folder, *PIP, "--python", programs / "python", "install", *OFFLINE, wheel)
    told = run(folder, programs / "python", "-c", "import msdd; print(msdd.__file__)")
    assert Path(told.strip()).is_relative_to(packages)
    return programs


def test_a_project_runs(installed, tmp_path):
    """Planned by both engines, and its first stages."""
    run(tmp_path, installed / "msdd", "init", "project", "--preset", "tiny")
    project = tmp_path / "project"
    planned = run(project, installed / "python", "-m", "snakemake", "-n", "--quiet", "rules")
    assert "total" in planned
    subprocess.run(["git", "init", "--quiet", project], check=True)
    assert "1 table2" in run(project, installed / "msdd", "plan")
    for command in ("code", "prepare"):
        run(project, installed / "msdd", command)
    assert read_json(project / "data/prepared/manifest.json")
    assert read_json(project / "provenance/data/prepared.json")["commit"] is None


def test_presets_are_known_everywhere(installed, tmp_path):
    run(tmp_path, installed / "msdd", "params", "use", "tiny")
    assert (tmp_path / "params.yaml").exists()


def test_folders_are_reconstructed_and_measured(installed, tmp_path):
    (tmp_path / "in").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/{k}.png")
    (tmp_path / "mine.py").write_text(TOKENIZER)
    mine = ("--tokenizer", "mine.py:tokenizer")
    run(tmp_path, installed / "msdd", "reconstruct", "in", "out", *mine)
    (tmp_path / "plain.yaml").write_text(PLAIN)
    folders = ("--originals", "in", "--reconstructions", "out")
    options = ("--protocol", "plain.yaml", "--json", "metrics.json")
    run(tmp_path, installed / "msdd", "evaluate", *folders, *options)
    assert (
        20
        < read_json(tmp_path / "metrics.json")["protocols"]["plain"]["metrics"]["psnr"]["mean"]
        < 60
    )
