#!/usr/bin/env bash
# scikit-image's PSNR of float images rises by 6 dB when one pixel of the original is below 0.
#
# Expected: without `data_range`, the range of float images comes from their type, as the documentation
# says: one value for all float images, so PSNRs of one set are comparable.
# Seen: it comes from the sign of the original's least value: 1 where that is 0 or above, 2 below. One
# value of -1e-12 among 300,000 adds 6.02 dB. Bicubic reduction undershoots beside dark edges, so in a
# set of reduced photographs some get the 6 dB and others do not, and their mean says nothing. Nothing
# is warned of. Exchanging original and reconstruction changes the figure as well.
# Packages: scikit-image 0.26.0, numpy 2.4.6, Python 3.11.
# Date: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import skimage
from skimage.metrics import peak_signal_noise_ratio as psnr
from skimage.transform import resize

print("scikit-image", skimage.__version__, "numpy", np.__version__)
rng = np.random.default_rng(0)
seen = []

original = rng.random((320, 320, 3))
original[0, 0, 0] = 0
reconstruction = (original + rng.normal(0, 0.02, original.shape)).clip(0, 1)
touched = original.copy()
touched[0, 0, 0] = -1e-12
pair = [psnr(one, reconstruction) for one in (original, touched)]
print(f"least value 0 or above: {pair[0]:.2f} dB; one value of -1e-12: {pair[1]:.2f} dB")
seen.append(6.0 < pair[1] - pair[0] < 6.04)
print(f"the range given: {psnr(touched, reconstruction, data_range=1):.2f} dB")
seen.append(abs(psnr(touched, reconstruction, data_range=1) - pair[0]) < 1e-6)
print(f"original and reconstruction exchanged: {psnr(reconstruction, touched):.2f} dB")
seen.append(abs(psnr(reconstruction, touched) - pair[0]) < 1e-6)

# Pictures of one kind, a bright square on a ground of 0.05 or of 0.3, reduced by bicubic splines.
told = []
for ground in (0.05, 0.3):
    large = np.full((256, 256), ground)
    large[64:192, 64:192] = 0.7
    small = resize(large, (112, 112), order=3, anti_aliasing=False, clip=False)
    noisy = small + rng.normal(0, 0.02, small.shape)
    told.append((small.min(), psnr(small, noisy), psnr(small, noisy, data_range=1)))
    print(f"ground {ground}: least {told[-1][0]:+.4f}, {told[-1][1]:.2f} dB, with range 1 {told[-1][2]:.2f} dB")
seen += [told[0][0] < 0 < told[1][0], told[0][1] - told[1][1] > 5.8, abs(told[0][2] - told[1][2]) < 0.2]
print("as written above" if all(seen) else f"changed: {seen}")
sys.exit(not all(seen))
PYTHON
