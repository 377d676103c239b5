#!/usr/bin/env bash
# PyYAML loses a value that a mapping changes of the one it merges, if the key has one letter.
#
# Expected: `<<: *y` takes the values of y, and what y changes of its own `<<: *x` is y's value; so it was
# in PyYAML 6.0.3, and so ruamel.yaml 0.19.1 reads it. Keys of any length are treated alike.
# Seen: 6.0.4 takes x's value for a key of one letter and y's value for a longer key. It leaves out keys
# that it has met before, by the identity of their text, and CPython has one object for every text of one
# letter. Nothing is told.
# Packages: PyYAML 6.0.4 and 6.0.3, Python 3.11. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 6.0.3 6.0.4; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "PyYAML==$version"
    "$folder/$version/bin/python" - <<'PYTHON' | tee -a "$folder/told"
import yaml

text = """
x: &x {k: 1, key: 1}
y: &y {<<: *x, k: 2, key: 2}
z: {<<: *y}
"""
print("PyYAML", yaml.__version__, yaml.safe_load(text)["z"])
PYTHON
done
diff "$folder/told" - <<'EXPECTED'
PyYAML 6.0.3 {'k': 2, 'key': 2}
PyYAML 6.0.4 {'k': 1, 'key': 2}
EXPECTED
