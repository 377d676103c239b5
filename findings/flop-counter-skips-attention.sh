#!/usr/bin/env bash
# torch's counter of FLOPs counts nothing of fused attention on a processor, and nothing at all of a
# transformer layer in evaluation mode.
#
# Expected: FlopCounterMode gives the same count for the same operation, whatever kernel computes it and
# whether gradients are wanted; what it cannot count, it says.
# Seen: scaled_dot_product_attention on a CPU takes a fused kernel for which no formula is registered: it
# counts 0, and 4 * length^2 * width with the kernel that is made of products (SDPBackend.MATH), without
# a word. nn.TransformerEncoderLayer in eval mode without gradients takes another fused kernel: the whole
# layer, its linear layers too, counts 0; with gradients, its linear layers count and its attention does
# not. Figures of decoders that are counted on a CPU lack what attention costs.
# Packages: torch 2.13.0, numpy 2.4.6, Python 3.11. Date: 2026-11-30.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"

cat > count.py <<'PYTHON'
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

LENGTH, WIDTH, HEADS = 256, 256, 4


def counted(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


torch.manual_seed(0)
print("torch", torch.__version__)
q = torch.randn(1, HEADS, LENGTH, WIDTH // HEADS)
default = counted(lambda: F.scaled_dot_product_attention(q, q, q))
with sdpa_kernel(SDPBackend.MATH):
    products = counted(lambda: F.scaled_dot_product_attention(q, q, q))
print(f"attention, as a CPU computes it: {default}")
print(f"attention, by products: {products}, which is 4 * length^2 * width: {products == 4 * LENGTH**2 * WIDTH}")

layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True).eval()
x = torch.randn(1, LENGTH, WIDTH)
with torch.no_grad():
    print(f"a transformer layer without gradients: {counted(lambda: layer(x))}")
linear = 2 * LENGTH * (3 + 1 + 4 + 4) * WIDTH**2
found = counted(lambda: layer(x))
print(f"with gradients: its linear layers alone: {found == linear}")
PYTHON

venv/bin/python count.py | tee seen.txt
cat > expected.txt <<'TEXT'
attention, as a CPU computes it: 0
attention, by products: 67108864, which is 4 * length^2 * width: True
a transformer layer without gradients: 0
with gradients: its linear layers alone: True
TEXT
grep -q '^torch 2\.13\.0' seen.txt
diff expected.txt <(tail -n +2 seen.txt) && echo "as described above"
