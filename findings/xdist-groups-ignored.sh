#!/usr/bin/env bash
# Expected: with `pytest -n 2 --dist loadgroup`, all tests that carry the same
#   `xdist_group` mark run in one worker, as the documentation of pytest-xdist says, so that a
#   session fixture that they share is made once.
# Seen: with pytest 9.2.0 and pytest-xdist 3.8.0 the tests of one group are dealt to both workers,
#   without a warning. xdist appends the group to `item._nodeid`, and the `nodeid` that it sends to
#   the scheduler afterwards does not have it.
# Packages: pytest 9.2.0, pytest-xdist 3.8.0, Python 3.11. 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install pytest==9.2.0 pytest-xdist==3.8.0
cat > test_group.py <<'PY'
import time

import pytest


@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("k", range(8))
def test_one_of_the_group(k, worker_id):
    time.sleep(0.3)
    with open("workers.txt", "a") as file:
        file.write(worker_id + "\n")
PY
venv/bin/pip --disable-pip-version-check list 2>/dev/null | grep -i pytest
venv/bin/python -m pytest -q -n 2 --dist loadgroup test_group.py
echo "workers that ran tests of the one group: $(sort -u workers.txt | tr '\n' ' ')"
[ "$(sort -u workers.txt | wc -l)" -eq 2 ] || { echo "changed: the group now stays together"; exit 1; }
