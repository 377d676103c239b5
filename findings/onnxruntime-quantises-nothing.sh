#!/usr/bin/env bash
# onnxruntime's dynamic quantisation leaves a model as it is, and does not say so.
#
# Expected: quantize_dynamic turns every product with constant weights into INT8, or says which it left.
# Seen: weights that a Transpose node hands to MatMul stay in float32. The file is written, and
# its outputs are those of the original to the bit. The same product with the transposed weights stored
# becomes INT8. For both comes the same line, to consider pre-processing. torch.onnx.export writes the
# former for every linear layer with `optimize=False`; folding constants beforehand helps.
# Packages: onnxruntime 1.31.1, onnx 1.23.2, numpy 2.4.6, Python 3.11. Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    onnxruntime==1.31.1 onnx==1.23.2 numpy==2.4.6 2> "$folder/pip.log"
cd "$folder"

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

weights = np.random.default_rng(0).standard_normal((64, 64), np.float32)
x = np.random.default_rng(1).standard_normal((8, 64), np.float32)


def model(transposed):
    """x W, with W stored as it is or as its transpose."""
    product = helper.make_node("MatMul", ["x", "W"], ["y"])
    turn = helper.make_node("Transpose", ["V"], ["W"], perm=[1, 0])
    stored = numpy_helper.from_array(np.ascontiguousarray(weights.T), "V")
    if not transposed:
        turn, stored = None, numpy_helper.from_array(weights, "W")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 64]) for name in "xy"]
    nodes = [node for node in (turn, product) if node]
    graph = helper.make_graph(nodes, "linear", ends[:1], ends[1:], [stored])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def run(path):
    return onnxruntime.InferenceSession(path).run(None, {"x": x})[0]


def quantised(transposed):
    """Whether the product became INT8, and the largest change of the output."""
    onnx.save(model(transposed), "float.onnx")
    quantize_dynamic("float.onnx", "int8.onnx", weight_type=QuantType.QInt8)
    kinds = {node.op_type for node in onnx.load("int8.onnx").graph.node}
    return "MatMulInteger" in kinds, float(abs(run("int8.onnx") - run("float.onnx")).max())


stored, turned = quantised(False), quantised(True)
print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, Python {sys.version.split()[0]}")
print(f"weights stored: INT8 {stored[0]}, output changes by {stored[1]:.3f}")
print(f"weights through Transpose: INT8 {turned[0]}, output changes by {turned[1]:.3f}")
sys.exit(0 if (stored[0], turned) == (True, (False, 0.0)) else 1)
PYTHON
