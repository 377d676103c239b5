"""The two-stream transformer (MMDiT) that both the encoder and the decoder are made of.

Latent and image tokens have weights of their own and meet in joint attention.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.positions import rotate

EPS = 1e-6

# The constant part that queries and keys share at first. Rotated by position it makes attention
# fall off within a patch or two; without it a short training ends 5 dB lower or more (docs/log.md).
LOCALITY = 3.0


def mlp_width(width: int) -> int:
    """Hidden size of the SwiGLU: 8/3 of the width, rounded up to a multiple of 256."""
    return -(-(8 * width // 3) // 256) * 256


class SwiGLU(nn.Module):
    """w2(SiLU(w1 x) * w3 x), without biases."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, mlp_width(width), bias=False)
        self.w3 = nn.Linear(width, mlp_width(width), bias=False)
        self.w2 = nn.Linear(mlp_width(width), width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Modulation(NamedTuple):
    """Shift, scale and gate of a stream's attention and MLP, (B, 1, width) each.

    The last latent stream of a decoder has only the first two.
    """

    shift1: Tensor
    scale1: Tensor
    gate1: Tensor | None = None
    shift2: Tensor | None = None
    scale2: Tensor | None = None
    gate2: Tensor | None = None


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, x, 1 + scale)


class Stream(nn.Module):
    """One stream's half of a joint block.

    modulated: adaLN from a condition; without it the norms have weights of their own.
    keys_only: the stream ends here and serves the other one with keys and values alone.
    """

    def __init__(self, width: int, heads: int, modulated: bool, keys_only: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=EPS, elementwise_affine=not modulated)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm_q = nn.LayerNorm(width // heads, eps=EPS)
        self.norm_k = nn.LayerNorm(width // heads, eps=EPS)
        self.adaln = nn.Linear(width, (2 if keys_only else 6) * width) if modulated else None
        if not keys_only:
            self.proj = nn.Linear(width, width)
            self.norm2 = nn.LayerNorm(width, eps=EPS, elementwise_affine=not modulated)
            self.mlp = SwiGLU(width)

    def modulation(self, condition: Tensor) -> Modulation:
        """adaLN of the condition (B, width)."""
        values = self.adaln(F.silu(condition))[:, None]
        return Modulation(*values.split(condition.shape[-1], dim=-1))

    def project(self, x: Tensor, m: Modulation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (B, L, width), each (B, heads, L, head)."""
        x = self.norm1(x)
        x = x if m is None else modulate(x, m.shift1, m.scale1)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.norm_q(q), self.norm_k(k), v

    def update(self, x: Tensor, attended: Tensor, m: Modulation | None) -> Tensor:
        """x (B, L, width) after its residual branches; attended: (B, L, width)."""
        if m is None:
            x = x + self.proj(attended)
            return x + self.mlp(self.norm2(x))
        x = torch.addcmul(x, m.gate1, self.proj(attended))
        return torch.addcmul(x, m.gate2, self.mlp(modulate(self.norm2(x), m.shift2, m.scale2)))


class Block(nn.Module):
    """Two streams that meet in joint attention; latent tokens come first in the sequence.

    ends: `latents` or `image`, a stream that serves the other one with keys and values alone and
          comes out as it went in, because nobody reads it; None: both go on.
    """

    def __init__(self, width: int, heads: int, modulated: bool, ends: str | None = None) -> None:
        super().__init__()
        self.ends = ends
        self.latents = Stream(width, heads, modulated, keys_only=ends == "latents")
        self.image = Stream(width, heads, modulated)  # whole even if it ends: the authors' layout

    def modulation(self, condition: Tensor) -> tuple[Modulation, Modulation]:
        """adaLN of the latent and of the image stream."""
        return self.latents.modulation(condition), self.image.modulation(condition)

    def forward(
        self,
        latents: Tensor,
        image: Tensor,
        by: Tensor,
        m: Modulation | None = None,
        n: Modulation | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Both streams, (B, M, width) and (B, N, width), one block further."""
        at = latents.shape[1]
        first = at if self.ends == "latents" else 0
        last = at if self.ends == "image" else None
        q, k, v = self._joint(latents, image, m, n)
        a = attention(rotate(q[:, :, first:last], by[first:last]), rotate(k, by), v)
        if self.ends != "latents":
            latents = self.latents.update(latents, a[:, :at], m)
        if self.ends != "image":
            image = self.image.update(image, a[:, at - first :], n)
        return latents, image

    def _joint(
        self, latents: Tensor, image: Tensor, m: Modulation | None, n: Modulation | None
    ) -> list[Tensor]:
        parts = zip(self.latents.project(latents, m), self.image.project(image, n), strict=True)
        return [torch.cat(pair, dim=2) for pair in parts]


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of (B, heads, L, head) tensors, as (B, L, heads * head)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def initialise(module: nn.Module, local: bool) -> None:
    """Initialise linear layers (Xavier uniform, zero bias) and streams; the networks do the rest.

    adaLN is zero: every block begins as the identity. If `local`, queries and keys share a
    constant part from the start; rotated by position, it makes scores fall with distance, so that
    latents and patches find each other without having to learn it first. Only for positions on
    one grid, where distance means something.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Stream):
            if part.adaln is not None:
                nn.init.zeros_(part.adaln.weight)
            if local:
                for norm in (part.norm_q, part.norm_k):
                    nn.init.constant_(norm.bias[0::2], LOCALITY)  # the first of each pair
