"""The two-stream transformer (MMDiT, Esser et al. 2024) of both the encoder and the decoder.

Latent and image tokens have weights of their own and meet in joint attention.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.config import mlp_width
from msdd.model.positions import rotate

EPS = 1e-6

# The constant part that queries and keys share at first. Rotated by position it makes attention
# fall off within a patch or two; without it a short training ends 5 dB lower or more (docs/log.md).
LOCALITY = 3.0


class SwiGLU(nn.Module):
    """The MLP w2(SiLU(w1 x) * w3 x) of tokens (..., width), without biases (Shazeer 2020)."""

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
    """(1 + scale) x + shift, broadcast."""
    return torch.addcmul(shift, x, 1 + scale)


class Stream(nn.Module):
    """One stream's half of a joint block.

    modulated: by adaLN of a condition; otherwise the norms have weights of their own.
    keys_only: the stream ends here and gives the other one only its keys and values.
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
        """Shifts, scales and gates (B, 1, width) from the condition (B, width)."""
        values = self.adaln(F.silu(condition))[:, None]
        return Modulation(*values.split(condition.shape[-1], dim=-1))

    def project(self, x: Tensor, modulation: Modulation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of tokens x (B, L, width), each (B, heads, L, head)."""
        x = self.norm1(x)
        x = x if modulation is None else modulate(x, modulation.shift1, modulation.scale1)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.norm_q(q), self.norm_k(k), v

    def update(self, x: Tensor, attended: Tensor, modulation: Modulation | None) -> Tensor:
        """Tokens x (B, L, width) after both residual branches.

        attended: the output of attention for them, (B, L, width).
        """
        if modulation is None:
            x = x + self.proj(attended)
            return x + self.mlp(self.norm2(x))
        x = torch.addcmul(x, modulation.gate1, self.proj(attended))
        hidden = modulate(self.norm2(x), modulation.shift2, modulation.scale2)
        return torch.addcmul(x, modulation.gate2, self.mlp(hidden))


class Block(nn.Module):
    """Two streams that meet in joint attention; latent tokens come first in the sequence.

    ends: `latents` or `image`, a stream that gives the other one only its keys and values and comes
          out unchanged, because nothing reads it; None: both streams continue.
    """

    def __init__(self, width: int, heads: int, modulated: bool, ends: str | None = None) -> None:
        super().__init__()
        self.ends = ends
        self.latents = Stream(width, heads, modulated, keys_only=ends == "latents")
        self.image = Stream(width, heads, modulated)  # whole even if it ends: the authors' layout

    def modulation(self, condition: Tensor) -> tuple[Modulation, Modulation]:
        """adaLN of the latent and of the image stream from the condition (B, width)."""
        return self.latents.modulation(condition), self.image.modulation(condition)

    def forward(
        self,
        latents: Tensor,
        image: Tensor,
        rotation: Tensor,
        latent_modulation: Modulation | None = None,
        image_modulation: Modulation | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Latent tokens (B, M, width) and image tokens (B, N, width) after the block.

        rotation: of the joint sequence, (M + N, head / 2, 2), from `positions.token_rotation`.
        """
        count = latents.shape[1]
        first = count if self.ends == "latents" else 0
        last = count if self.ends == "image" else None
        latent_qkv = self.latents.project(latents, latent_modulation)
        image_qkv = self.image.project(image, image_modulation)
        q, k, v = [torch.cat(pair, dim=2) for pair in zip(latent_qkv, image_qkv, strict=True)]
        q, k = rotate(q[:, :, first:last], rotation[first:last]), rotate(k, rotation)
        attended = attention(q, k, v)
        if self.ends != "latents":
            latents = self.latents.update(latents, attended[:, :count], latent_modulation)
        if self.ends != "image":
            image = self.image.update(image, attended[:, count - first :], image_modulation)
        return latents, image


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of tensors (B, heads, L, head), joined to (B, L, heads * head)."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def initialise(module: nn.Module, local: bool) -> None:
    """Initialise linear layers (Xavier uniform, zero bias) and streams, in place.

    adaLN is zero, so every block begins as the identity. If `local`, queries and keys begin with a
    constant part; rotated by position, it makes scores fall with distance, so that latents attend
    to nearby patches before anything is learned. That makes sense only for positions on one grid.
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
