"""A share of `make fuzz`: what is read from strangers is refused in one line, or accepted."""

import fuzz
import pytest
from fuzz_targets import TARGETS

SHARE = 12  # inputs of each target


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_changed_files_are_refused_or_accepted(target, tmp_path):
    fuzz.home(tmp_path)
    assert target.seeds
    found = fuzz.batch(target, 0, SHARE, tmp_path / "faults")
    assert found["inputs"] == SHARE and not found["faults"], found["faults"]


def test_seeds_are_accepted(tmp_path):
    """Else nothing behind the first check would be tried."""
    for target in TARGETS:
        (tmp_path / "input").write_bytes(target.seeds[0])
        folder = tmp_path / target.name
        folder.mkdir()
        told = fuzz.outcome(target, tmp_path / "input", folder)
        assert told == ("refused" if target.name == "addresses" else "accepted"), target.name
