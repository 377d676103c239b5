"""The one-step decoder as a file that other programs run: torch.export and ONNX.

Its inputs are `latents` (B, M, dim), or (B, channels, h, w) as another tokenizer makes them whose
latents the student decodes, and `noise` (B, sum of 3 side^2, unit normals, or zeros for a student
that was trained without), both float32; its output is `images` (B, 3, R, R) in [-1, 1]. The batch
size B is free.
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import Graph

from msdd.errors import MsddError
from msdd.fast.attention import CANDIDATES
from msdd.fast.fold import freeze
from msdd.fast.one_step import OneStep
from msdd.files import atomic_with_siblings
from msdd.flow.noise import vectors
from msdd.model.autoencoder import standardise
from msdd.model.config import FrozenEncoder
from msdd.tokenizers.msdd import MSDD

OPSET = 20
WHOLE = 2**40  # numbers of a tensor: of any size
ONE_FILE = 2**31 - 2**26  # bytes of weights; a message of protobuf has less than 2^31 in all


def export(tokenizer: MSDD, path: Path) -> list[Path]:
    """Write the decoder of a student to a `.pt2` (torch.export) or `.onnx` file; what was written.

    That is `path` alone; of weights beyond ONE_FILE in ONNX also `path` + `.data` beside it, which
    the `.onnx` file names without a folder: both move together.
    The same student and libraries give the same bytes, wherever they lie.

    Raises MsddError for another suffix, a U-ViT, and for guidance or more than one step at a scale.
    """
    writers = {".pt2": write_pt2, ".onnx": write_onnx}
    if path.suffix not in writers:
        raise MsddError(f"{path}: choose a file name that ends with {' or '.join(writers)}")
    if reason := unexportable(tokenizer):
        raise MsddError(reason)
    backends = [CANDIDATES] * len(tokenizer.decoders)
    decoder: nn.Module = freeze(OneStep(tokenizer.decoders, tokenizer.correlation, backends))
    if tokenizer.config.frozen:
        decoder = OfOthers(decoder, tokenizer.config.frozen)
    with warnings.catch_warnings(action="ignore"), atomic_with_siblings(path) as temporary:
        writers[path.suffix](traced(decoder, example(tokenizer)), temporary)
        written = sorted(file.name for file in temporary.parent.iterdir())
    return [path.with_name(name) for name in written]  # a `.data` of an earlier export may be there


class OfOthers(nn.Module):
    """A decoder of another tokenizer's latents (B, channels, h, w), as that makes them."""

    def __init__(self, decoder: nn.Module, frozen: FrozenEncoder) -> None:
        super().__init__()
        self.decoder, self.frozen = decoder, frozen

    def forward(self, latents: Tensor, noise: Tensor) -> Tensor:
        return self.decoder(standardise(latents, self.frozen), noise)


def unexportable(tokenizer: MSDD) -> str | None:
    """Why a tokenizer has no such file; None if it has one."""
    if any(n > 1 for n in tokenizer.steps) or any(g != 1 for g in tokenizer.guidance):
        return "only one-step decoders are exported; name a student's folder"
    return (
        "only MMDiTs are exported, and this student is a U-ViT" if tokenizer.config.uvit else None
    )


def example(tokenizer: MSDD) -> tuple[Tensor, Tensor]:
    """Latents and noise of two images: torch would take a batch of one for a fixed size.

    A `.pt2` file keeps them, so they are always the same.
    """
    config = tokenizer.config
    shape = config.frozen.shape if config.frozen else (config.latents, config.latent_dim)
    return torch.zeros(2, *shape, dtype=torch.float32), vectors(0, range(2), config.sides)


def traced(decoder: nn.Module, inputs: tuple[Tensor, Tensor]) -> ExportedProgram:
    """The graph of the decoder, without the places of our source files on this machine."""
    batch = {0: Dim("batch")}
    program = torch.export.export(decoder, inputs, dynamic_shapes=(batch, batch))
    for module in program.graph_module.modules():
        for node in getattr(module, "graph", Graph()).nodes:
            node.meta.pop("stack_trace", None)
    return program


def write_pt2(program: ExportedProgram, path: Path) -> None:
    with open(path, "wb") as file:
        torch.export.save(program, file)


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """The graph with constants computed, weights transposed among them; runtimes do the rest.

    torch's own `optimize` looks for patterns in onnxscript, for minutes at the published size.
    """
    try:
        from onnxscript import ir, optimizer
    except ImportError as error:
        raise MsddError("ONNX needs two packages more: pip install onnx onnxscript") from error
    made = torch.onnx.export(
        program,
        (),
        input_names=["latents", "noise"],
        output_names=["images"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
        optimize=False,
    )
    optimizer.fold_constants(made.model, input_size_limit=WHOLE, output_size_limit=WHOLE)
    optimizer.remove_unused_nodes(made.model)
    size = sum(value.const_value.nbytes for value in made.model.graph.initializers.values())
    ir.save(made.model, path, external_data=f"{path.name}.data" if size > ONE_FILE else None)
