"""The decoder of MaskGIT's VQGAN (Chang et al. 2022), as TiTok has it in its checkpoints."""

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.vqgan import ResidualBlock, norm


@dataclass(frozen=True)
class PixelConfig:
    """The published decoder; f = 16.

    multipliers: width of each level, highest resolution first, as a multiple of `width`.
    codes, dim:  the codebook whose rows it decodes.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    codes: int = 1024
    dim: int = 256


class Block(ResidualBlock):
    """Without bias; where widths differ, the skip path is a 1x1 convolution of the block's result.

    So is it in the official implementation; the input of such a block has no path around it.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__(width_in, width, bias=False)
        if width_in != width:
            self.nin_shortcut = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        return y + (self.nin_shortcut(y) if hasattr(self, "nin_shortcut") else x)


class Level(nn.Module):
    """Residual blocks, then twice the side if `up`: each pixel repeated, then a convolution."""

    def __init__(self, widths: list[int], up: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(Block(a, b) for a, b in pairwise(widths))
        self.up = up
        if up:
            self.upsample_conv = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        if not self.up:
            return x
        return self.upsample_conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class PixelDecoder(nn.Module):
    """Rows of the codebook (B, dim, h, w) to images (B, 3, f h, f w), nominally in [0, 1].

    `up.0` is the highest resolution and runs last.
    """

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        widths = [config.width * m for m in config.multipliers]
        self.conv_in = nn.Conv2d(config.dim, widths[-1], 3, padding=1)
        self.mid = nn.Sequential(*(Block(widths[-1], widths[-1]) for _ in range(config.blocks)))
        self.up = nn.ModuleList(
            Level([before] + [after] * config.blocks, up=i > 0)
            for i, (after, before) in enumerate(pairwise([*widths, widths[-1]]))
        )
        self.norm_out = norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid(self.conv_in(x))
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(F.silu(self.norm_out(x)))
