"""A student's decode by OpenVINO, from its ONNX file: in fp32, bf16, or with products in INT8."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.fast.onnx import products_in_float

HINTS = {"fp32": "f32", "bf16": "bf16"}


def decode_by_openvino(
    file: Path, precision: str, examples: tuple[Tensor, Tensor]
) -> tuple[Callable[..., Tensor], str]:
    """The decode as a function of latents and noise, and how it runs.

    file: of `export`; precision: `fp32`, `bf16` or `int8`, whose ranges NNCF takes from `examples`,
    some latents and their noise, and whose other operations are in bf16 where the processor has it.
    OpenVINO 2026.4 would choose bf16 by itself for a float32 model: the hint says which, and `how`
    names what the compiled model reports. Raises MsddError if a package is missing.
    """
    try:
        import openvino
    except ImportError as error:
        raise MsddError("OpenVINO is not installed: pip install openvino") from error
    core = openvino.Core()
    model = core.read_model(file)
    if precision == "int8":
        model = quantised(model, file, examples)
    around = "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": HINTS.get(precision, around),
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def decode(latents: Tensor, noise: Tensor) -> Tensor:
        result = request.infer({"latents": latents.numpy(), "noise": noise.numpy()})
        return torch.from_numpy(result[0].copy())  # the next call writes over it

    hint = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    version = openvino.__version__.partition("-")[0]
    return decode, f"OpenVINO {version} at INFERENCE_PRECISION_HINT {hint}"


def quantised(model: Any, file: Path, examples: tuple[Tensor, Tensor]) -> Any:
    """The model with products in INT8, except those of the layers IN_FLOAT, by NNCF."""
    os.environ.setdefault("NNCF_CI", "1")  # or NNCF 3.4 reports its use to a server, unasked
    try:
        import nncf
    except ImportError as error:
        raise MsddError("NNCF, which makes INT8, is not installed: pip install nncf") from error
    pairs = zip(*(part.split(1) for part in examples), strict=True)
    feeds = [{"latents": z.numpy(), "noise": noise.numpy()} for z, noise in pairs]
    return nncf.quantize(
        model,
        nncf.Dataset(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(feeds),
        ignored_scope=nncf.IgnoredScope(names=products_in_float(file)),
    )
