#!/usr/bin/env bash
# Ports of DINOv2 give the patches of a 224 px image other positions than the original does.
#
# Expected: timm's and transformers' DINOv2 have Meta's weights, so at 224 px, the size of dgm-eval and
# of most feature extraction, their features are Meta's.
# Seen: the position code is trained for 37 x 37 patches and resized for 16 x 16. Meta's code does so by
# a factor of (16 + 0.1) / 37, bicubic without antialiasing (facebookresearch/dinov2 at 027a9ac,
# vision_transformer.py); transformers to the size of 16, without antialiasing; timm to the size of 16
# with antialiasing. On a white code timm's has less than half of the deviation of Meta's; on a smooth
# one all three differ still. So Fréchet distances "on DINOv2" at 224 px depend on the port. At 518 px,
# where nothing is resized, they agree.
# Packages: torch 2.13.0, torchvision 0.28.0, timm 1.0.31, transformers 5.24.0, Python 3.11.
# Date: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 \
    timm==1.0.31 transformers==5.24.0 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"

HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON' 2> "$folder/python.log" || { cat "$folder/python.log"; exit 1; }
import sys

import torch
import torch.nn.functional as F

try:
    import torchvision
except RuntimeError:  # one built for CUDA beside a CPU's torch: the names of its operators are enough
    for name in [name for name in sys.modules if name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm
import transformers
from timm.layers import resample_abs_pos_embed
from transformers.models.dinov2.modeling_dinov2 import Dinov2Config, Dinov2Embeddings

WIDTH, SIDE = 8, 37


def meta(code, grid):
    if grid == SIDE:
        return code
    square = code[:, 1:].reshape(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)
    factor = (grid + 0.1) / SIDE
    resized = F.interpolate(square, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([code[:, :1], resized.flatten(2).transpose(1, 2)], 1)


def by_timm(code, grid):
    return resample_abs_pos_embed(code, [grid, grid], num_prefix_tokens=1)


def by_transformers(code, grid):
    config = Dinov2Config(hidden_size=WIDTH, num_attention_heads=1, image_size=518, patch_size=14)
    embeddings = Dinov2Embeddings(config)
    embeddings.position_embeddings.data.copy_(code)
    tokens = torch.zeros(1, 1 + grid**2, WIDTH)
    return embeddings.interpolate_pos_encoding(tokens, 14 * grid, 14 * grid)


torch.manual_seed(0)
white = torch.randn(1, 1 + SIDE**2, WIDTH)
place = torch.linspace(0, 1, SIDE)
waves = [torch.outer(torch.sin(k * place), torch.cos((k + 1) * place)) for k in range(1, WIDTH + 1)]
smooth = torch.cat([torch.zeros(1, 1, WIDTH), torch.stack(waves, -1).reshape(1, SIDE**2, WIDTH)], 1)
print(f"torch {torch.__version__}, timm {timm.__version__}, transformers {transformers.__version__}")
far = {}
with torch.no_grad():
    for name, code in (("white", white), ("smooth", smooth)):
        for grid in (SIDE, 16):
            original = meta(code, grid)
            print(f"{name} code, {14 * grid} px: deviation {original[:, 1:].std():.3f} by Meta's code")
            for port in (by_timm, by_transformers):
                found = port(code, grid)
                difference = (found - original).abs().max().item()
                far[name, grid, port] = difference
                print(f"  {port.__name__}: deviation {found[:, 1:].std():.3f}, off by {difference:.4f} at most")
same = all(x < 1e-6 for (_, grid, _), x in far.items() if grid == SIDE)
apart = all(x > 1e-3 for (_, grid, _), x in far.items() if grid != SIDE)
sys.exit(0 if same and apart else "this has changed")
PYTHON
