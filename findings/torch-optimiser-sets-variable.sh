#!/usr/bin/env bash
# One step of an optimiser, with nothing compiled, decides where this process and those that it starts
# keep compiled code.
#
# Expected: training without torch.compile leaves the environment as it was; a program that later sets
# TORCHINDUCTOR_CACHE_DIR unless its user has (os.environ.setdefault) gets its folder, and a process
# that is started with another TMPDIR takes a folder below that.
# Seen: the step imports torch._dynamo, and that import writes TORCHINDUCTOR_CACHE_DIR, with the default
# below the TMPDIR of now, into os.environ. A later setdefault has no effect, and a process that is
# started afterwards inherits the variable: it compiles into the folder of its parent, whatever its own
# TMPDIR is, such as a local disk that a scheduler gives each job.
# Packages: torch 2.13.0, numpy 2.4.6, Python 3.11. Date: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"
mkdir of-parent of-child of-program

cat > step.py <<'PYTHON'
import os
import subprocess
import sys

import torch

NAME = "TORCHINDUCTOR_CACHE_DIR"
CHILD = """
from torch._inductor.runtime.cache_dir_utils import cache_dir
print(cache_dir())
"""


def folder_of_child():
    """Where a process with a TMPDIR of its own keeps compiled code."""
    own = os.environ | {"TMPDIR": os.path.abspath("of-child")}
    return subprocess.run([sys.executable, "-c", CHILD], env=own, capture_output=True, text=True).stdout.strip()


def lies_in(path, name):
    return os.path.realpath(path).startswith(os.path.realpath(name))


print("torch", torch.__version__)
before, of_child_before = os.environ.get(NAME), folder_of_child()
layer = torch.nn.Linear(2, 2)
optimiser = torch.optim.AdamW(layer.parameters())
layer(torch.ones(1, 2)).sum().backward()
optimiser.step()
after = os.environ.get(NAME)
os.environ.setdefault(NAME, os.path.abspath("of-program"))
of_child_after = folder_of_child()
place = {before: "unset", after: "set, below the parent's TMPDIR" if after and lies_in(after, "of-parent") else after}
print("before the step:", place[before])
print("after the step:", place[after])
print("after setdefault:", "the program's" if os.environ[NAME].endswith("of-program") else "as after the step")
for when, path in (("before", of_child_before), ("after", of_child_after)):
    where = next((name for name in ("of-child", "of-parent", "of-program") if lies_in(path, name)), path)
    print(f"a process with its own TMPDIR, started {when} the step, compiles below: {where}")
PYTHON

env -u TORCHINDUCTOR_CACHE_DIR TMPDIR="$folder/of-parent" venv/bin/python step.py | tee seen.txt
cat > expected.txt <<'TEXT'
before the step: unset
after the step: set, below the parent's TMPDIR
after setdefault: as after the step
a process with its own TMPDIR, started before the step, compiles below: of-child
a process with its own TMPDIR, started after the step, compiles below: of-parent
TEXT
grep -q '^torch 2\.13\.0' seen.txt
diff expected.txt <(tail -n +2 seen.txt) && echo "as described above"
