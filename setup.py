"""Puts the files of a project, which lie beside the package, into a wheel."""

import shutil
from pathlib import Path
from runpy import run_path

from setuptools import setup
from setuptools.command.build_py import build_py

FILES = run_path("msdd/project_files.py")


class WithProject(build_py):
    """Copies `PARTS` to where the package looks for them; an editable one looks in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "msdd", FILES["IN_WHEEL"].name)
            shutil.rmtree(target, ignore_errors=True)  # of an earlier build
            for part in FILES["PARTS"]:
                _copy(Path(part), target / part)


def _copy(part: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if part.is_dir() else shutil.copy)(part, target)


setup(cmdclass={"build_py": WithProject})
