"""Convolutional parts of the VQGAN family (Esser et al. 2021), under the names of its checkpoints.

LlamaGen and Cosmos are made of both halves; the encoders of DiTo and of SSDD are the first. All
norms have 32 groups and eps 1e-6, so every width is a multiple of 32.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


def norm(width: int) -> nn.GroupNorm:
    """The family's norm, 32 groups of channels."""
    return nn.GroupNorm(32, width, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each after norm and swish; 1x1 on the skip path where widths differ."""

    def __init__(self, width_in: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1, bias=bias)
        self.norm2 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        if width_in != width:
            self.nin_shortcut = nn.Conv2d(width_in, width, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x
        return skip + self.branch(x)

    def branch(self, x: Tensor) -> Tensor:
        x = self.conv1(F.silu(self.norm1(x)))
        return self.conv2(F.silu(self.norm2(x)))


class Attention(nn.Module):
    """One head over all positions, its projections 1x1 convolutions, with a skip path."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (f(y).flatten(2).mT[:, None] for f in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(mixed[:, 0].mT.reshape(x.shape))


class Downsample(nn.Module):
    """Halves the side. Pads right and bottom only, by a row of zeros, as all of VQGAN's kin do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Doubles the side: repeats each pixel, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks, each followed by attention if there is any, then a change of resolution.

    widths: of the input and of each block's output.
    """

    def __init__(
        self, widths: Sequence[int], attention: bool, down: bool = False, up: bool = False
    ) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResidualBlock(a, b) for a, b in pairwise(widths))
        self.attn = nn.ModuleList(Attention(width) for width in widths[1:] if attention)
        self.downsample = Downsample(widths[-1]) if down else nn.Identity()
        self.upsample = Upsample(widths[-1]) if up else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.block):
            x = block(x)
            x = self.attn[i](x) if self.attn else x
        return self.upsample(self.downsample(x))


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(width, width)
        self.attn_1 = Attention(width)
        self.block_2 = ResidualBlock(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Encoder(nn.Module):
    """Images (B, channels_in, H, W) to features (B, channels_out, H / f, W / f), f = 2^downsamples.

    multipliers: width of each level, highest resolution first, as a multiple of `width`.
    blocks:      residual blocks in a level.
    attention:   the levels whose blocks are each followed by attention; the middle always has one.
    downsamples: how many levels, from the first, end in half the side; all but the last by default.
    """

    def __init__(
        self,
        channels_in: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        channels_out: int,
        attention: Collection[int] = (),
        downsamples: int | None = None,
    ) -> None:
        super().__init__()
        widths = [width * m for m in multipliers]
        downsamples = len(widths) - 1 if downsamples is None else downsamples
        self.conv_in = nn.Conv2d(channels_in, width, 3, padding=1)
        self.down = nn.ModuleList(
            Level([before] + [after] * blocks, i in attention, down=i < downsamples)
            for i, (before, after) in enumerate(pairwise([width, *widths]))
        )
        self.mid = Middle(widths[-1])
        self.norm_out = norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(self.mid(x))))


class Decoder(nn.Module):
    """Features (B, channels_in, h, w) to images (B, channels_out, f h, f w), f = 2^upsamples.

    multipliers, attention: as for `Encoder`, by the same level numbers: `up.0` is the highest
                            resolution and runs last.
    blocks:                 residual blocks in a level; the family has one more than the encoder.
    upsamples:              how many levels, from the lowest resolution, double the side; all but
                            level 0 by default.
    """

    def __init__(
        self,
        channels_in: int,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        channels_out: int,
        attention: Collection[int] = (),
        upsamples: int | None = None,
    ) -> None:
        super().__init__()
        widths = [width * m for m in multipliers]
        start = 1 if upsamples is None else len(widths) - upsamples
        self.conv_in = nn.Conv2d(channels_in, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList(
            Level([before] + [after] * blocks, i in attention, up=i >= start)
            for i, (after, before) in enumerate(pairwise([*widths, widths[-1]]))
        )
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], channels_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))


def regroup(network: nn.Module, groups: int) -> None:
    """Set the number of groups of every group norm; the shape of no weight depends on it.

    A narrow network wants fewer than the 32 of the published ones: a group of a single channel
    loses its mean over the image, and with it the image's brightness.
    """
    for part in network.modules():
        if hasattr(part, "num_groups"):
            part.num_groups = groups
