import shutil

import pytest

from msdd.train import carry_out


@pytest.fixture
def states(monkeypatch):
    """The state of every training of the test, as it was at the end."""
    made = []

    class Kept(carry_out.State):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(carry_out, "State", Kept)
    return made


@pytest.fixture
def work(trained, tmp_path):
    """A working directory with a teacher and a student, the test's own."""
    return shutil.copytree(trained, tmp_path / "trained")
