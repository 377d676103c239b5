"""A teacher's decode, optimised like a student's: a fair speed-up needs a fast teacher.

The conditioning on the times of all steps is computed once, and both branches of a guided step are
one batch.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from msdd.flow.noise import split
from msdd.flow.sampler import chain
from msdd.flow.scales import Scale
from msdd.model.decoder import Conditioning, Decoder
from msdd.model.mmdit import Modulation


class ManySteps(nn.Module):
    """Latents (B, M, dim) and noise (B, sum of 3 side^2) to images (B, 3, R, R) in [-1, 1].

    `decoders`, `steps`, `guidance` and `backends` (of attention) have one value for each scale;
    guidance 1 means none. `correlation` is that of the noise at jumps between scales.
    """

    def __init__(
        self,
        decoders: Sequence[Decoder],
        steps: Sequence[int],
        guidance: Sequence[float],
        correlation: float,
        backends: Sequence[SDPBackend],
    ) -> None:
        super().__init__()
        self.scales, self.correlation = decoders[0].config.flow, correlation
        self.decoders = nn.ModuleList(decoders)
        self.steps, self.guidance = list(steps), list(guidance)
        for scale, decoder, n in zip(self.scales, decoders, steps, strict=True):
            self.register_buffer(f"table{scale.index}", table(decoder, scale, n), persistent=False)
        # One for each scale, so that each can be compiled for its own shapes.
        self.evaluations = [
            partial(evaluate, *part) for part in zip(decoders, guidance, backends, strict=True)
        ]

    def compile(self, **options: object) -> None:
        """Compile one evaluation for each scale; one graph of all steps would take minutes."""
        self.evaluations = [torch.compile(part, **options) for part in self.evaluations]

    def forward(self, latents: Tensor, noise: Tensor) -> Tensor:
        latents = latents.to(self.decoders[0].head.weight)

        def velocity(x: Tensor, t: float, scale: Scale, conditional: bool) -> Tensor:
            rows = self.get_buffer(f"table{scale.index}")
            step = round((1 - t) * self.steps[scale.index])
            return self.evaluations[scale.index](x, latents, rows[step : step + 1])

        normals = split(noise, self.decoders[0].config.sides)
        ones = [1.0] * len(self.scales)  # guidance happens inside an evaluation
        states = chain(
            velocity, normals[0], self.scales, normals[1:], self.steps, ones, self.correlation
        )
        return states[-1].clamp(-1, 1)


def evaluate(
    decoder: Decoder,
    guidance: float,
    backend: SDPBackend,
    x: Tensor,
    latents: Tensor,
    row: Tensor,
) -> Tensor:
    """The guided velocity (B, 3, side, side), float32, of the state `x` of the same shape.

    row: the row (1, rows, width) of `table` of the step's time.
    """
    at, x = unpack(row.to(latents), len(decoder.blocks)), x.to(latents)
    with sdpa_kernel(backend):
        if guidance == 1:
            return decoder.denoise(x, latents, at).float()
        both = torch.cat([latents, decoder.null.expand_as(latents)])
        v, v_null = decoder.denoise(torch.cat([x, x]), both, at).float().chunk(2)
    return torch.lerp(v_null, v, guidance)


@torch.no_grad()
def table(decoder: Decoder, scale: Scale, steps: int) -> Tensor:
    """The packed conditioning on the times of all steps inside a scale, (steps, rows, width)."""
    t = 1 - torch.arange(steps, dtype=torch.float32, device=decoder.head.weight.device) / steps
    return pack(decoder.conditioning(scale.time(t)))


def pack(at: Conditioning) -> Tensor:
    """All shifts, scales and gates in one tensor (B, rows, width); those of the output are last."""
    parts = [part for pair in at.blocks for m in pair for part in m if part is not None]
    return torch.cat([*parts, *at.output], dim=1)


def unpack(rows: Tensor, depth: int) -> Conditioning:
    """Inverse of `pack`: six parts for each stream, two for the latents of the last block."""
    parts = iter(rows.split(1, dim=1))
    counts = [(6, 6)] * (depth - 1) + [(2, 6)]
    blocks = [tuple(Modulation(*(next(parts) for _ in range(n))) for n in pair) for pair in counts]
    return Conditioning(blocks, (next(parts), next(parts)))
