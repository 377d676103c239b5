"""Evaluations of two folders by the command line."""

import shutil
from pathlib import Path

from msdd.cli import main

COUNT, SIDE = 6, 48


def copied(folders: Path, to: Path) -> Path:
    return shutil.copytree(folders, to / "copy")


def run(folders: Path, *more: str) -> int:
    sides = ["--originals", str(folders / "o"), "--reconstructions", str(folders / "r")]
    return main(["evaluate", *sides, "--features", "none", *more])
