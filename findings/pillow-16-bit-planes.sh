#!/usr/bin/env bash
# Expected: an RGB TIFF of 16 bits whose colours are stored in separate planes (PlanarConfiguration
#   2 of TIFF 6.0) has the same pixels with and without compression, and Pillow says so or refuses.
# Seen: with Pillow 13.0.0 the compressed file is right. Of the uncompressed one Pillow reads each
#   plane as 8 bits a sample: the picture is noise of low and high bytes, without a warning.
#   `TiffImageFile._setup` gives plane k the raw mode `rawmode[k]`, one letter of "RGB;16L", which
#   is the 8-bit mode of that band; compressed planes go through libtiff, which knows the depth.
# Packages: Pillow 13.0.0, tifffile 2026.3.3, NumPy 2, Python 3.11. 2026-11-28.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip --quiet --disable-pip-version-check install pillow==13.0.0 tifffile==2026.3.3 "numpy<3"
cat > planes.py <<'PY'
import sys

import numpy as np
import tifffile
from PIL import Image

ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
planes = np.stack([ramp, ramp.T, ramp[::-1]])
right = np.moveaxis(planes >> 8, 0, -1)
worst = {}
for name, compression in (("compressed", "zlib"), ("uncompressed", None)):
    tifffile.imwrite(
        "a.tif", planes, photometric="rgb", planarconfig="separate", compression=compression
    )
    assert np.array_equal(tifffile.imread("a.tif"), planes)
    read = np.asarray(Image.open("a.tif").convert("RGB")).astype(int)
    worst[name] = abs(read - right).max()
    print(f"{name}: largest error of a level {worst[name]}; row 9 begins {read[9, :5, 0].tolist()},"
          f" right is {right[9, :5, 0].tolist()}")
sys.exit(not (worst["compressed"] == 0 and worst["uncompressed"] > 200))
PY
venv/bin/pip --disable-pip-version-check list 2>/dev/null | grep -i -E "pillow|tifffile|numpy"
venv/bin/python -W always planes.py || { echo "changed: Pillow no longer reads noise"; exit 1; }
