"""A student's decode by onnxruntime, from its ONNX file: in fp32, or with products in INT8."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.fast.fidelity import IN_FLOAT

PACKAGES = "pip install onnxruntime onnx onnxscript"


def decode_by_onnxruntime(
    file: Path, precision: str, folder: Path
) -> tuple[Callable[..., Tensor], str]:
    """The decode as a function of latents and noise, and how it runs.

    file: of `export`; precision: `fp32` or `int8`. INT8 has weights by channel, and finds the range
    of what they multiply at each call: nothing is calibrated. It writes a second file beside the
    first. torch's number of threads is the runtime's. Raises MsddError if onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MsddError(f"onnxruntime is not installed: {PACKAGES}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    path = quantised(file, folder) if precision == "int8" else file
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of types of its own
        raise MsddError(f"onnxruntime does not read {file}: {error}") from error

    def decode(latents: Tensor, noise: Tensor) -> Tensor:
        (images,) = session.run(None, {"latents": latents.numpy(), "noise": noise.numpy()})
        return torch.from_numpy(images)

    return decode, f"onnxruntime {onnxruntime.__version__}"


def quantised(file: Path, folder: Path) -> Path:
    """A copy in `folder` whose products with weights are in INT8, except those in IN_FLOAT."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = folder / "int8.onnx"
    quantize_dynamic(
        file,
        path,
        op_types_to_quantize=["MatMul"],
        per_channel=True,  # 1 to 2 dB, for nothing
        weight_type=QuantType.QInt8,
        nodes_to_exclude=products_in_float(file),
    )
    return path


def products_in_float(file: Path) -> list[str]:
    """Names of the products in the layers IN_FLOAT, by the modules that torch notes at each node.

    Products without a weight, of attention, have none to quantise.
    """
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    scopes = {
        node.name: next((p.value for p in node.metadata_props if p.key.endswith("name_scopes")), "")
        for node in graph.node
        if node.op_type == "MatMul"
    }
    return [name for name, scope in scopes.items() if any(f".{one}'" in scope for one in IN_FLOAT)]
