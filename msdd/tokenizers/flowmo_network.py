"""The two transformers of FlowMo (Sargent et al. 2025): code and image tokens in joint attention.

Modules are named as in the official checkpoints, `txt` for the code tokens and `img` for the
patches. Both transformers store the same set of tensors, and each leaves some of them idle:

- encoder: everything of time and modulation (`time_in`, `*_mod`, `adaLN_modulation`), since it has
  no time; `txt_in.weight`, since its code tokens come in as zeros; `final_layer_img` and, in the
  last block, the image stream beside its keys and values, since only the code is read.
- decoder: `final_layer_txt` and, in the last block, the code stream beside its keys and values,
  since only the image is read.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.config import FREQUENCIES
from msdd.model.decoder import time_features
from msdd.model.mmdit import Modulation, modulate
from msdd.model.patches import patchify, unpatchify
from msdd.model.positions import BASE, rotate, square

EPS = 1e-6
TIME_SCALE = 1000.0


@dataclass(frozen=True)
class Transformer:
    """Size of one of the two networks.

    axes: channels of a head that turn with each of the three positions, even numbers whose sum is
          width / heads.
    """

    width: int
    depth: int
    heads: int
    axes: tuple[int, int, int]
    mlp_ratio: float = 4.0


@dataclass(frozen=True)
class FlowMoConfig:
    """Shape of a FlowMo tokenizer.

    tokens: code tokens of an image, of `bits` bits each.
    group:  bits that are packed into one index; the official entropy loss works on these groups.
    """

    resolution: int
    patch: int
    tokens: int
    bits: int
    group: int
    encoder: Transformer
    decoder: Transformer


def rotation(axes: tuple[int, ...], tokens: int, side: int) -> Tensor:
    """Cosine and sine (L, head / 2, 2) that turn each channel pair of the joint sequence.

    Code token i stands at (i, i, i), the patches after it, side x side of them, at (0, y, x).
    """
    with torch.device("cpu"):  # a network built without storage (meta) has its table all the same
        line = torch.arange(tokens, dtype=torch.float64)
        rows, columns = square(side, 1, 0)
        places = [torch.cat([line, image]) for image in (0 * rows, rows, columns)]
        angles = torch.cat([turns(*each) for each in zip(places, axes, strict=True)], dim=1)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()


def turns(place: Tensor, channels: int) -> Tensor:
    """Angles (L, channels / 2) of one axis."""
    return place[:, None] * BASE ** -(torch.arange(0, channels, 2).double() / channels)


def normalise(x: Tensor) -> Tensor:
    """LayerNorm without weights."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.scale.to(x.dtype), EPS)  # of one type: fused


class QKNorm(nn.Module):
    def __init__(self, head: int) -> None:
        super().__init__()
        self.query_norm, self.key_norm = RMSNorm(head), RMSNorm(head)


class Attention(nn.Module):
    """One stream's projections into and out of the joint attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = QKNorm(width // heads)
        self.proj = nn.Linear(width, width)

    def project(self, x: Tensor, m: Modulation | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (B, L, width), each (B, heads, L, head)."""
        x = normalise(x)
        x = x if m is None else modulate(x, m.shift1, m.scale1)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.norm.query_norm(q), self.norm.key_norm(k), v


class AdaLN(nn.Module):
    """Shift, scale and gate of attention and MLP from the time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, 6 * width)

    def forward(self, condition: Tensor) -> Modulation:
        return Modulation(*self.lin(F.silu(condition))[:, None].chunk(6, dim=-1))


class Block(nn.Module):
    """Two streams that meet in joint attention; code tokens come first in the sequence."""

    def __init__(self, size: Transformer) -> None:
        super().__init__()
        self.img_mod, self.img_attn, self.img_mlp = stream(size)
        self.txt_mod, self.txt_attn, self.txt_mlp = stream(size)

    def forward(
        self, txt: Tensor, img: Tensor, condition: Tensor | None, by: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both streams, (B, tokens, width) and (B, patches, width), one block further."""
        m, n = self._modulations(condition)
        q, k, v = self._joint(txt, img, m, n)
        a = attention(rotate(q, by), rotate(k, by), v)
        at = txt.shape[1]
        txt = update(txt, a[:, :at], m, self.txt_attn, self.txt_mlp)
        return txt, update(img, a[:, at:], n, self.img_attn, self.img_mlp)

    def read_image(self, txt: Tensor, img: Tensor, condition: Tensor | None, by: Tensor) -> Tensor:
        """The image stream alone: a last block whose code tokens nobody reads."""
        at = txt.shape[1]
        m, n = self._modulations(condition)
        q, k, v = self._joint(txt, img, m, n)
        a = attention(rotate(q[:, :, at:], by[at:]), rotate(k, by), v)
        return update(img, a, n, self.img_attn, self.img_mlp)

    def read_code(self, txt: Tensor, img: Tensor, by: Tensor) -> Tensor:
        """The code stream alone, without modulation: the encoder's last block."""
        at = txt.shape[1]
        q, k, v = self._joint(txt, img, None, None)
        a = attention(rotate(q[:, :, :at], by[:at]), rotate(k, by), v)
        return update(txt, a, None, self.txt_attn, self.txt_mlp)

    def _modulations(self, condition: Tensor | None) -> tuple[Modulation | None, ...]:
        if condition is None:
            return None, None
        return self.txt_mod(condition), self.img_mod(condition)

    def _joint(
        self, txt: Tensor, img: Tensor, m: Modulation | None, n: Modulation | None
    ) -> list[Tensor]:
        parts = zip(self.txt_attn.project(txt, m), self.img_attn.project(img, n), strict=True)
        return [torch.cat(pair, dim=2) for pair in parts]


def stream(size: Transformer) -> tuple[AdaLN, Attention, nn.Sequential]:
    """The weights of one stream of a block."""
    hidden = int(size.mlp_ratio * size.width)
    layers = nn.Linear(size.width, hidden), nn.GELU("tanh"), nn.Linear(hidden, size.width)
    return AdaLN(size.width), Attention(size.width, size.heads), nn.Sequential(*layers)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Softmax attention of (B, heads, L, head) tensors, as (B, L, heads * head).

    Scores are scaled by 8 / head as in muP (Yang et al. 2022), not by its root; both are the same
    for a head of 64 channels.
    """
    scale = 8 / q.shape[-1]
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).flatten(2)


def update(
    x: Tensor, attended: Tensor, m: Modulation | None, attn: Attention, mlp: nn.Module
) -> Tensor:
    """x (B, L, width) after its residual branches; attended: (B, L, width)."""
    if m is None:
        x = x + attn.proj(attended)
        return x + mlp(normalise(x))
    x = torch.addcmul(x, m.gate1, attn.proj(attended))
    return torch.addcmul(x, m.gate2, mlp(modulate(normalise(x), m.shift2, m.scale2)))


class TimeEmbedding(nn.Module):
    """Time (B,) in [0, 1] to the condition (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(FREQUENCIES, width)
        self.out_layer = nn.Linear(width, width)

    def forward(self, time: Tensor) -> Tensor:
        features = time_features(TIME_SCALE * time).to(self.in_layer.weight.dtype)
        return self.out_layer(F.silu(self.in_layer(features)))


class FinalLayer(nn.Module):
    """The read-out of a stream. With a condition the modulated tokens are normalised once more."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = normalise(x)
        if condition is not None:
            shift, scale = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
            x = normalise(modulate(x, shift, scale))
        return self.linear(x)


class Network(nn.Module):
    """What encoder and decoder have in common: their weights.

    channels: of a code token.
    """

    def __init__(self, config: FlowMoConfig, size: Transformer, channels: int) -> None:
        super().__init__()
        pixels = 3 * config.patch**2
        self.tokens, self.patch = config.tokens, config.patch
        self.img_in = nn.Linear(pixels, size.width)
        self.txt_in = nn.Linear(channels, size.width)
        self.time_in = TimeEmbedding(size.width)
        self.double_blocks = nn.ModuleList(Block(size) for _ in range(size.depth))
        self.final_layer_img = FinalLayer(size.width, pixels)
        self.final_layer_txt = FinalLayer(size.width, channels)
        table = rotation(size.axes, config.tokens, config.resolution // config.patch)
        self.register_buffer("rotation", table, persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        return self.img_in(patchify(images.to(self.img_in.weight.dtype), self.patch))


class Encoder(Network):
    """Images (B, 3, R, R) to the code before its signs are taken, (B, tokens, bits)."""

    def forward(self, images: Tensor) -> Tensor:
        img = self.embed(images)
        txt = self.txt_in.bias.expand(len(images), self.tokens, -1)
        for block in self.double_blocks[:-1]:
            txt, img = block(txt, img, None, self.rotation)
        return self.final_layer_txt(self.double_blocks[-1].read_code(txt, img, self.rotation))


class Decoder(Network):
    """Noisy images (B, 3, R, R), time (B,) or (1,) and a code (B, tokens, bits + 1) to n - x.

    The last channel of a code is one; the null code is zero in all of them.
    """

    def forward(self, x: Tensor, time: Tensor, code: Tensor) -> Tensor:
        txt, img, condition = self.body(x, time, code)
        img = self.double_blocks[-1].read_image(txt, img, condition, self.rotation)
        return unpatchify(self.final_layer_img(img, condition), self.patch, x.shape[-1])

    def body(self, x: Tensor, time: Tensor, code: Tensor) -> tuple[Tensor, ...]:
        """Both streams before the last block, and the condition."""
        condition = self.time_in(time)
        txt, img = self.txt_in(code.to(condition.dtype)), self.embed(x)
        for block in self.double_blocks[:-1]:
            txt, img = block(txt, img, condition, self.rotation)
        return txt, img, condition
