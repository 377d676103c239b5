"""The one-step decoder as a file that other programs run: torch.export and ONNX.

Its inputs are `latents` (B, M, dim) and `noise` (B, sum of 3 side^2, unit normals), both float32;
its output is `images` (B, 3, R, R) in [-1, 1]. The batch size B is free.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim

from msdd.errors import MsddError
from msdd.fast.attention import CANDIDATES
from msdd.fast.fold import freeze
from msdd.fast.one_step import OneStep
from msdd.files import atomic
from msdd.flow.noise import vectors
from msdd.tokenizers.msdd import MSDD

OPSET = 20


def export(tokenizer: MSDD, path: Path) -> None:
    """Write the decoder of a student to a `.pt2` (torch.export) or `.onnx` file.

    Raises MsddError for another suffix, a U-ViT, and for guidance or more than one step at a scale.
    """
    writers = {".pt2": write_pt2, ".onnx": write_onnx}
    if path.suffix not in writers:
        raise MsddError(f"{path}: choose a file name that ends with {' or '.join(writers)}")
    if any(n > 1 for n in tokenizer.steps) or any(g != 1 for g in tokenizer.guidance):
        raise MsddError("only one-step decoders are exported; name a student's folder")
    if tokenizer.config.uvit:
        raise MsddError("only MMDiTs are exported, and this student is a U-ViT")
    backends = [CANDIDATES] * len(tokenizer.decoders)
    decoder = freeze(OneStep(tokenizer.decoders, tokenizer.correlation, backends))
    with atomic(path) as temporary, warnings.catch_warnings(action="ignore"):
        writers[path.suffix](decoder, example(tokenizer), temporary)


def example(tokenizer: MSDD) -> tuple[Tensor, Tensor]:
    """Latents and noise of two images: torch would take a batch of one for a fixed size."""
    config = tokenizer.config
    return torch.randn(2, config.latents, config.latent_dim), vectors(0, range(2), config.sides)


def write_pt2(decoder: OneStep, inputs: tuple[Tensor, Tensor], path: Path) -> None:
    batch = {0: Dim("batch")}
    program = torch.export.export(decoder, inputs, dynamic_shapes=(batch, batch))
    with open(path, "wb") as file:
        torch.export.save(program, file)


def write_onnx(decoder: OneStep, inputs: tuple[Tensor, Tensor], path: Path) -> None:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MsddError("ONNX needs two packages more: pip install onnx onnxscript") from error
    batch = {0: Dim("batch")}
    torch.onnx.export(
        decoder,
        inputs,
        path,
        input_names=["latents", "noise"],
        output_names=["images"],
        dynamic_shapes=(batch, batch),
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
        verbose=False,
    )
