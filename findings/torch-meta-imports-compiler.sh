#!/usr/bin/env bash
# A network made on torch's `meta` device, to save the time of its first weights, loads the compiler.
#
# Expected: on `meta` nothing is computed, so a layer is made there at least as fast as on the CPU.
# Seen: nn.Linear is. nn.Embedding (whose weights begin as `normal_`), nn.init.normal_ and torch.arange
# of floats import torch._dynamo and sympy, over 800 modules that `import torch` leaves out, because
# their decompositions in Python run behind a decorator of the compiler. The first such call of a
# process takes about as long as `import torch` itself. Nothing is compiled afterwards.
# Packages: torch 2.13.0, numpy 2.4.6, Python 3.11. Date: 2026-11-29.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"

cat > make.py <<'PYTHON'
import sys
import time

begun = time.perf_counter()
import torch
from torch import nn

imported = time.perf_counter()
what, device = sys.argv[1:]
before = len(sys.modules)
with torch.device(device):
    match what:
        case "linear":
            nn.Linear(4, 4)
        case "embedding":
            nn.Embedding(4, 4)
        case "normal":
            nn.init.normal_(torch.empty(4))
        case "arange":
            torch.arange(4, dtype=torch.float64)
ended = time.perf_counter()
compiler = "torch._dynamo" in sys.modules
print(
    f"{what:9} on {device:4}: compiler imported {compiler!s:5}, {len(sys.modules) - before:4} modules, "
    f"{ended - imported:.2f} s (import torch: {imported - begun:.2f} s)"
)
sys.exit(compiler)
PYTHON

"$folder/venv/bin/python" -c 'import sys, torch; print(f"torch {torch.__version__}, Python {sys.version.split()[0]}")'
changed=0
expect() { # what, device, whether the compiler is imported
    local seen=0
    "$folder/venv/bin/python" make.py "$1" "$2" || seen=$?
    [ "$seen" = "$3" ] || changed=1
}
for device in cpu meta; do
    expect linear "$device" 0
done
for what in embedding normal arange; do
    expect "$what" cpu 0
    expect "$what" meta 1
done
exit "$changed"
