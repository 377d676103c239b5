"""An MSDD tokenizer made fast for one batch size: `Fast(load(folder), batch=64)`."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from operator import index
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msdd.device import check_bf16, clock
from msdd.errors import MsddError
from msdd.fast.attention import fastest
from msdd.fast.compiling import options, shared_copy
from msdd.fast.export import export
from msdd.fast.fidelity import RefusedError, check, smooth_images
from msdd.fast.fold import freeze
from msdd.fast.many_steps import ManySteps
from msdd.fast.one_step import OneStep
from msdd.fast.onnx import decode_by_onnxruntime
from msdd.fast.openvino import decode_by_openvino
from msdd.flow.noise import silenced, vectors
from msdd.model.mmdit import Block
from msdd.tokenizers import arguments
from msdd.tokenizers.msdd import MSDD, tokens_of
from msdd.tokenizers.tokenizer import HALF, Description, Tokenizer, noise_key, without_gradients

CALLS = 3  # of a CUDA graph until it is recorded and replayed
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
RUNTIMES = {"onnxruntime": ("fp32", "int8"), "openvino": ("fp32", "bf16", "int8")}
EXAMPLES = 4  # images that a runtime is checked on, and INT8 calibrated


class Fast(Tokenizer):
    """An MSDD tokenizer made ready for one batch size, device and precision.

    It makes the same images as the tokenizer, up to the rounding of its precision. Larger batches
    are split; where a compiled graph needs its own size, smaller ones are padded.

    batch:     images in one call of the networks.
    precision: `fp32`, `bf16`, or None for whichever is faster here; the sampler stays in fp32. Of a
               runtime also `int8`, and None is `fp32`.
    compiled:  compile with torch.compile, on a GPU as CUDA graphs; None: on a GPU only.
    runtime:   `onnxruntime` or `openvino`: decodes a student on a processor in place of torch,
               which still encodes.
    file:      of `msdd export STUDENT decoder.onnx`; None exports for the runtime, over a minute at
               the published size.

    Raises MsddError for what does not go together, for a runtime that is not installed, and for one
    that makes other images than the student in fp32 (`msdd.fast.fidelity`), as INT8 may.
    """

    mixes = False  # it casts what its networks take

    def __init__(
        self,
        tokenizer: Tokenizer,
        batch: int,
        device: str | torch.device | None = None,
        precision: str | None = None,
        compiled: bool | None = None,
        runtime: str | None = None,
        file: str | Path | None = None,
    ) -> None:
        super().__init__()
        tokenizer = check_tokenizer(tokenizer)
        check_runtime(runtime, precision)
        device = arguments.device("device", device or tokenizer.device)
        if runtime and (compiled or device.type != "cpu"):
            raise MsddError(
                f"runtime {runtime}: decodes on a processor, and torch compiles nothing"
            )
        file = None if file is None else Path(arguments.place("file", file))
        if file and not runtime:
            raise MsddError(
                f"file {file}: only a runtime has one; torch decodes with the tokenizer"
            )
        if precision is None:
            precision = "fp32" if runtime else preferred_precision(device, tokenizer.config.width)
        if precision == "bf16":
            check_bf16(device)
        self.batch, self.described = images_at_once(batch), tokenizer.describe()
        self.precision, self.files = precision, dict(tokenizer.files)
        self.noise = tokenizer.noise
        self.config, self.resolution = tokenizer.config, tokenizer.resolution
        self.encoders_digest = tokenizer.encoder_digest()
        self.encoder: Any = shared_copy(tokenizer.encoder).to(device)
        self.chain: Any
        if not self.config.frozen:
            self.encoder = self.cast(self.encoder)
        self.compiled, self.ran_by = False, None
        if runtime:
            self.chain, self.ran_by = by_runtime(tokenizer, runtime, self.precision, file)
            return
        self.chain = self.cast(decode_module(tokenizer, self.batch, device, DTYPES[self.precision]))
        if compiled or (compiled is None and device.type == "cuda"):
            self.build()

    def cast(self, module: nn.Module) -> nn.Module:
        """The module, frozen, with parameters in the precision; buffers stay in fp32.

        With `int8`, what torch runs stays in fp32, too.
        """
        for p in freeze(module).parameters():
            p.data = p.data.to(DTYPES.get(self.precision, torch.float32))
        return module

    def build(self) -> None:
        """Compile, and run a few batches; without a working compiler say so and stay eager."""
        from torch._inductor.exc import GPUTooOldForTriton, InductorError, TritonMissing

        modules = self.compiled_modules()
        for module in modules:
            module.compile(fullgraph=True, **options(self.device.type == "cuda"))
        self.compiled = True
        try:
            for _ in range(CALLS):
                self.reconstruct(torch.zeros(self.batch, 3, *[self.resolution] * 2).float())
        except (InductorError, TritonMissing, GPUTooOldForTriton) as error:
            for module in modules:
                module.compile(backend="eager")
            self.compiled = False
            tell_once(str(error).strip().splitlines()[0])

    def compiled_modules(self) -> list[nn.Module]:
        """The modules to compile.

        On a GPU these are the encoder and the whole decode, as CUDA graphs need. On a processor
        they are all blocks: since blocks are alike this takes seconds, and wholes take minutes.
        """
        wholes: list[nn.Module] = [self.chain] if self.config.frozen else [self.encoder, self.chain]
        if self.device.type == "cuda":
            return wholes
        return [part for whole in wholes for part in whole.modules() if isinstance(part, Block)]

    @property
    def how(self) -> str:
        """`compiled`; `folded`: eager, with what its times do made constant; or a runtime."""
        return self.ran_by or ("compiled" if self.compiled else "folded")

    @property
    def dtype(self) -> torch.dtype:
        """Of what it takes and makes, whatever it computes in."""
        return torch.float32

    def describe(self) -> Description:
        """The description of the tokenizer that it comes from."""
        return self.described

    def encoder_digest(self) -> str | None:
        """That of the tokenizer that it comes from."""
        return self.encoders_digest

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to latents (B, M, dim), float32, or another tokenizer's, by
        its own code."""
        self.check_images(images)
        if self.config.frozen:
            return self.encoder.encode(images)
        images = images.to(self.encoder.head.weight, copy=True)  # why: see `decode`
        return self.in_batches(self.encoder, images).float()

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents of `encode` to images (B, 3, R, R) in [-1, 1], with the same noise as `MSDD`."""
        ids, seed = noise_key(latents, ids, seed)
        noise = noise_of(self, seed, ids)
        # A tensor from outside inference mode would cause another compilation: copy it.
        latents = latents.to(self.device, copy=True)
        tokens = tokens_of(latents, self.config)
        return self.in_batches(self.chain, latents if self.ran_by else tokens, noise)

    def in_batches(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """The function of all rows of the inputs, `batch` at a time.

        If compiled, the last batch is padded with copies of its last row, which are cut off again.
        """
        rows = len(inputs[0])
        missing = -rows % self.batch if self.compiled else 0
        if missing:
            inputs = tuple(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) for x in inputs)
        parts = zip(*(x.split(self.batch) for x in inputs), strict=True)
        # A CUDA graph overwrites its last result with the next one.
        return torch.cat([function(*part).clone() for part in parts])[:rows]


def noise_of(tokenizer: "MSDD | Fast", seed: int, ids: Sequence[int]) -> Tensor:
    """What a decode of these images takes as noise, (B, sum of 3 side^2)."""
    drawn = vectors(seed, ids, tokenizer.config.sides, tokenizer.device)
    return silenced(drawn, tokenizer.noise)


@torch.inference_mode()
def by_runtime(
    tokenizer: MSDD, runtime: str, precision: str, file: Path | None
) -> tuple[Callable[..., Tensor], str]:
    """The decode by a runtime, from an exported file, and how it runs.

    Its images are compared with the tokenizer's own on EXAMPLES smooth ones. Without a `file` one
    is exported that is gone afterwards.
    """
    images, ids = smooth_images(EXAMPLES, tokenizer.resolution, 0), range(EXAMPLES)
    inputs = tokenizer.encode(images), noise_of(tokenizer, 0, ids)
    if file and not file.is_file():
        raise MsddError(f"there is no file {file}")
    with tempfile.TemporaryDirectory(prefix="msdd-") as folder:
        if file is None:
            export(tokenizer, file := Path(folder) / "decoder.onnx")
        if runtime == "onnxruntime":
            decode, how = decode_by_onnxruntime(file, precision, Path(folder))
        else:
            decode, how = decode_by_openvino(file, precision, inputs)
    try:
        made = decode(*inputs)
    except Exception as error:  # of types of its own
        raise RefusedError(f"{how} does not run {file}: {error}") from error
    check(how, made, tokenizer.decode(inputs[0], ids), exact=precision == "fp32")
    return decode, how


def decode_module(
    tokenizer: MSDD, batch: int, device: torch.device, dtype: torch.dtype
) -> nn.Module:
    """The whole decode as a module of latents and noise; what depends on its times is constant."""
    config = tokenizer.config
    decoders: Any = shared_copy(tokenizer.decoders).to(device)
    if tokenizer.dtype in HALF:  # folded in float32, and cast to the precision then
        decoders.float()
    like = torch.empty(0, dtype=dtype, device=device)
    steps, guidance = tokenizer.steps, tokenizer.guidance
    rows = [batch * (1 if g == 1 else 2) for g in guidance]  # both branches are one batch
    backends = [fastest(config, *scale, like) for scale in zip(config.sides, rows, strict=True)]
    if all(n == 1 for n in steps) and all(g == 1 for g in guidance):
        return OneStep(decoders, tokenizer.correlation, backends)
    return ManySteps(decoders, steps, guidance, tokenizer.correlation, backends)


def check_tokenizer(tokenizer: Tokenizer) -> MSDD:
    """The tokenizer itself. MsddError for one that has no fast variant."""
    if not isinstance(tokenizer, MSDD):
        raise MsddError(
            f"Fast takes a model of msdd at its own size, as load(folder) gives it, not "
            f"{type(tokenizer).__name__}: decode with that itself"
        )
    if tokenizer.config.uvit or tokenizer.config.kl_encoder:
        raise MsddError("only MMDiTs have a fast variant: decode with the tokenizer itself")
    return tokenizer


def check_runtime(runtime: str | None, precision: str | None) -> None:
    """MsddError for unknown names."""
    if runtime not in (None, *RUNTIMES):
        raise MsddError(f"runtime {runtime}: {' or '.join(RUNTIMES)}, or None for torch")
    known = RUNTIMES[runtime] if runtime else DTYPES
    if precision not in (None, *known):
        told = " or ".join(known)
        raise MsddError(f"precision {precision} of {runtime or 'torch'}: {told}, or None")


def images_at_once(batch: int) -> int:
    try:
        count = int(index(batch))
    except TypeError:
        raise MsddError(f"batch {batch!r} is no whole number of images") from None
    if count < 1:
        raise MsddError(f"batch {count}: at least one image is decoded at once")
    return count


@cache
def tell_once(reason: str) -> None:
    """Print why decoding is not compiled, once for each reason."""
    print(f"msdd: decoding is not compiled: {reason}", file=sys.stderr)


def preferred_precision(device: torch.device, width: int) -> str:
    """`bf16` where the device computes in it and it is faster, else `fp32`.

    On a GPU bf16 is taken to be faster; on a processor a short trial of both decides.
    """
    try:
        check_bf16(device)
    except MsddError:
        return "fp32"
    if device.type == "cuda":
        return "bf16"
    return min(DTYPES, key=lambda name: seconds_of(DTYPES[name], width))


@torch.inference_mode()
def seconds_of(dtype: torch.dtype, width: int) -> float:
    """Least seconds of a few calls of a linear layer (width to 4 width, 256 rows) on a CPU."""
    with torch.random.fork_rng([]):
        layer, x = nn.Linear(width, 4 * width, dtype=dtype), torch.randn(256, width).to(dtype)
    times = []
    for _ in range(5):
        started = clock(x.device)
        layer(x)
        times.append(clock(x.device) - started)
    return min(times)
