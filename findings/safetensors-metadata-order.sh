#!/usr/bin/env bash
# safetensors writes other bytes for the same tensors and metadata.
#
# Expected: the same tensors with the same metadata are the same bytes, in every call and process. The
# format lists tensors in a fixed order, and its files are compared and cached by digest.
# Seen: with two entries of metadata (a dictionary of two texts) the entries come in a random order, also
# within one process, so that the file has one of two digests by chance. With one entry the bytes are
# always the same.
# Packages: safetensors 0.8.0, numpy 2.4.6, Python 3.11. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import sys

import numpy as np
import safetensors
from safetensors.numpy import save

tensors = {"a": np.zeros(4, np.float32)}


def distinct(metadata, calls=60):
    return len({hashlib.sha256(save(tensors, metadata)).hexdigest() for _ in range(calls)})


one, two = distinct({"x": "1"}), distinct({"x": "1", "y": "2"})
print(f"safetensors {safetensors.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}")
print(f"60 calls with one entry of metadata: {one} different files; with two entries: {two}")
sys.exit(0 if (one, two) == (1, 2) else 1)
PYTHON
