"""The recipes of docs/how.md, run one after the other as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/how.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- long: (\S+) -->\n)?```sh\n(.*?)```", re.DOTALL)
FOLDERS = ("photographs", "originals", "reconstructions")


def test_recipes_run_as_they_stand(tmp_path):
    """In one shell, so that a recipe finds what those before it have made."""
    for folder in FOLDERS:
        (tmp_path / "given" / folder).mkdir(parents=True)
        for k in range(2):
            pixels = np.random.default_rng(k).integers(0, 256, (256, 256, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "given" / folder / f"{k}.png")
    blocks = [commands for _, where, commands in BLOCK.findall(PAGE) if not where]
    first, *others = blocks
    script = "\n".join(["set -e", first, "mv ../given/* .", *others])
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    more = {"PATH": path, "PYTHONPATH": str(ROOT), "MSDD_TRACKING": "off"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=os.environ | more, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (tmp_path / "project/metrics.json").exists()


def test_what_is_left_out_runs_elsewhere():
    left_out = [where for _, where, _ in BLOCK.findall(PAGE) if where]
    assert left_out and all((ROOT / where).exists() for where in left_out)
