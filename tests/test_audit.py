"""What `make lint` says of advisories; what pip-audit found is given."""

import audit
import pytest

FOUND = {
    "dependencies": [
        {"name": "a", "version": "1", "vulns": []},
        {
            "name": "b",
            "version": "2",
            "vulns": [{"id": "X-1", "aliases": ["Y-1"], "fix_versions": ["3"]}],
        },
        {"name": "c", "skip_reason": "not found"},
    ]
}


def test_an_advisory_ends_lint_unless_it_has_a_reason():
    lines, bad = audit.told(FOUND, {}, 3)
    assert bad and lines == [
        "audit: b 2: X-1, mended in 3",
        "audit: 1 of 3 packages: the index did not answer",
    ]
    for name in ("X-1", "Y-1"):
        assert not audit.told(FOUND, audit.reasons([f"{name} not reached"]), 3)[1]
    with pytest.raises(SystemExit, match="X-1 has no reason"):
        audit.reasons(["# a", "X-1"])


def test_what_nobody_was_asked_about_is_told_and_ends_nothing():
    assert audit.told({"dependencies": []}, {}, 9) == (
        ["audit: 9 of 9 packages: the index did not answer"],
        False,
    )
