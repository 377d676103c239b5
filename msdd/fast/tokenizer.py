"""Decoding at the speed of the arithmetic: `Fast(load(folder), batch=64)`."""

import sys
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch._inductor.exc import GPUTooOldForTriton, InductorError, TritonMissing

from msdd.device import check_bf16, clock
from msdd.errors import MsddError
from msdd.fast.attention import fastest
from msdd.fast.compiling import options, sharing
from msdd.fast.fold import freeze
from msdd.fast.many_steps import ManySteps
from msdd.fast.one_step import OneStep
from msdd.flow.noise import vectors
from msdd.model.mmdit import Block
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.tokenizer import Description, Tokenizer

CALLS = 3  # of a CUDA graph until it is recorded and replayed
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Fast(Tokenizer):
    """An MSDD tokenizer made ready for one batch size, device and precision.

    It makes the same images up to the rounding of its precision. Other batches are cut, and
    filled up where a compiled graph needs its own size.

    batch:     images in one call of the networks.
    precision: `fp32`, `bf16`, or None for whichever is faster here; the sampler stays in fp32.
    compiled:  compile with torch.compile, on a GPU as CUDA graphs; None: on a GPU only.
    """

    def __init__(
        self,
        tokenizer: MSDD,
        batch: int,
        device: str | torch.device | None = None,
        precision: str | None = None,
        compiled: bool | None = None,
    ) -> None:
        super().__init__()
        if tokenizer.config.uvit or tokenizer.config.kl_encoder:
            raise MsddError("only MMDiTs have a fast variant: decode with the tokenizer itself")
        if batch < 1:
            raise MsddError(f"batch {batch}: at least one image is decoded at once")
        if precision not in (None, *DTYPES):
            raise MsddError(f"precision {precision}: {' or '.join(DTYPES)}, or None for the faster")
        device = torch.device(device or tokenizer.device)
        if device.type == "cuda" and not torch.cuda.is_available():
            raise MsddError(f"device {device}: there is no GPU here that torch can use")
        self.precision = precision or preferred_precision(device, tokenizer.config.width)
        if self.precision == "bf16":
            check_bf16(device)
        self.config, self.resolution = tokenizer.config, tokenizer.resolution
        self.batch, self.described = batch, tokenizer.describe()
        self.encoder = self.cast(sharing(tokenizer.encoder).to(device))
        self.chain = self.cast(static(tokenizer, batch, device, DTYPES[self.precision]))
        self.compiled = False
        if compiled or (compiled is None and device.type == "cuda"):
            self.build()

    def cast(self, module: nn.Module) -> nn.Module:
        """With weights in the precision; tables stay in fp32."""
        for p in freeze(module).parameters():
            p.data = p.data.to(DTYPES[self.precision])
        return module

    def build(self) -> None:
        """Compile by running once; where no compiler can be had, say so and leave things plain."""
        regions = self.regions()
        for module in regions:
            module.compile(fullgraph=True, **options(self.device.type == "cuda"))
        self.compiled = True
        try:
            for _ in range(CALLS):
                self.reconstruct(torch.zeros(self.batch, 3, *[self.resolution] * 2))
        except (InductorError, TritonMissing, GPUTooOldForTriton) as error:
            for module in regions:
                module.compile(backend="eager")
            self.compiled = False
            tell_once(str(error).strip().splitlines()[0])

    def regions(self) -> list[nn.Module]:
        """What is compiled: on a GPU encoder and decode as wholes, which CUDA graphs need.

        On a processor their blocks, which are all alike: seconds, where wholes take minutes.
        """
        wholes = [self.encoder, self.chain]
        if self.device.type == "cuda":
            return wholes
        return [part for whole in wholes for part in whole.modules() if isinstance(part, Block)]

    @property
    def how(self) -> str:
        """What it came to: compiled, or its times made constant and no more."""
        return "compiled" if self.compiled else "folded"

    def describe(self) -> Description:
        """As the tokenizer that it comes from, whose weights these are."""
        return self.described

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to latents (B, M, dim), float32."""
        self.check_sides(images)
        images = images.to(self.encoder.head.weight, copy=True)  # see `decode`
        return self.in_batches(self.encoder, images).float()

    @torch.inference_mode()
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, M, dim) to images (B, 3, R, R) in [-1, 1], with the same noise as `MSDD`."""
        ids = range(len(latents)) if ids is None else ids
        if len(ids) != len(latents):
            raise MsddError(f"{len(ids)} ids for {len(latents)} latents; name one for each")
        noise = vectors(seed, ids, self.config.sides, self.device)
        # Tensors made outside inference mode would be compiled for once more.
        return self.in_batches(self.chain, latents.to(self.device, copy=True), noise)

    def in_batches(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """The function of all rows, `batch` at a time; the last rows are filled up and cut off."""
        if not (rows := len(inputs[0])):
            raise MsddError("an empty batch: at least one image is coded at once")
        missing = -rows % self.batch if self.compiled else 0
        if missing:
            inputs = tuple(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) for x in inputs)
        parts = zip(*(x.split(self.batch) for x in inputs), strict=True)
        # A CUDA graph writes its next result over the last one.
        return torch.cat([function(*part).clone() for part in parts])[:rows]


def static(tokenizer: MSDD, batch: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The decode as a function of latents and noise, without what its times make constant."""
    config, decoders = tokenizer.config, sharing(tokenizer.decoders).to(device)
    like = torch.empty(0, dtype=dtype, device=device)
    steps, guidance = tokenizer.steps, tokenizer.guidance
    rows = [batch * (1 if g == 1 else 2) for g in guidance]  # both branches are one batch
    backends = [fastest(config, *scale, like) for scale in zip(config.sides, rows, strict=True)]
    if all(n == 1 for n in steps) and all(g == 1 for g in guidance):
        return OneStep(decoders, tokenizer.correlation, backends)
    return ManySteps(decoders, steps, guidance, tokenizer.correlation, backends)


@cache
def tell_once(reason: str) -> None:
    print(f"msdd: decoding is not compiled: {reason}", file=sys.stderr)


def preferred_precision(device: torch.device, width: int) -> str:
    """bf16 where the device computes in it, and faster; that differs among processors."""
    try:
        check_bf16(device)
    except MsddError:
        return "fp32"
    if device.type == "cuda":
        return "bf16"
    return min(DTYPES, key=lambda name: seconds_of(DTYPES[name], width))


@torch.inference_mode()
def seconds_of(dtype: torch.dtype, width: int) -> float:
    """Of a linear layer on a CPU, the fastest of a few."""
    layer, x = nn.Linear(width, 4 * width, dtype=dtype), torch.randn(256, width).to(dtype)
    found = []
    for _ in range(5):
        started = clock(x.device)
        layer(x)
        found.append(clock(x.device) - started)
    return min(found)
