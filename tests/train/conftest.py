import shutil

import pytest

from msdd.train import run_job


@pytest.fixture
def states(monkeypatch):
    """The state of every training of the test, as it was at the end."""
    made = []

    class Kept(run_job.State):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(run_job, "State", Kept)
    return made


@pytest.fixture
def work(trained, tmp_path):
    """A working directory with a teacher and a student, the test's own."""
    return shutil.copytree(trained, tmp_path / "trained")
