"""The decoder of SSDD (arXiv 2510.04961): a convolutional U-Net with a transformer in its middle.

It denoises an image given its latents, which reach every block: enlarged beside the noisy image,
as scale and shift of the first norm of each residual block, and of each transformer block. The time
reaches only the residual blocks. Parameters have the names of the published checkpoints.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.model.config import GROUPS, UViTConfig
from msdd.model.mmdit import modulate
from msdd.model.vqgan import Upsample, regroup
from msdd.model.window_transformer import WindowTransformer

EPS = 1e-5
TIME_SCALE = 1000.0

# Channels, depth, heads and multipliers of the published sizes.
SIZES = {
    "XS": (32, 8, 4, (1, 2, 3, 3)),
    "S": (48, 8, 4, (1, 2, 3, 3)),
    "B": (64, 10, None, (1, 2, 3, 3)),
    "M": (96, 12, None, (1, 2, 3, 3)),
    "L": (96, 16, None, (1, 2, 4, 4)),
    "XL": (128, 16, None, (1, 2, 4, 4)),
    "H": (192, 16, None, (1, 2, 4, 4)),
    "XH": (256, 16, None, (1, 2, 4, 4)),
    "G": (384, 16, None, (1, 2, 4, 4)),
}


def published_config(size: str, latent_dim: int) -> UViTConfig:
    """The shape of a published size (XS to G) for latents of so many channels."""
    channels, depth, heads, multipliers = SIZES[size]
    return UViTConfig(latent_dim, channels, multipliers, depth, heads)


class Condition(NamedTuple):
    """What the network computes of the latents alone, the same for every image and time.

    enlarged: the latents at the image's size, (B, latent_dim, H, W).
    context:  the map that modulates residual blocks, (B, width, h, w).
    tokens:   the same for the transformer, activated, for each position of its grid, (B, L, width).
    biases:   of its attention, one for each block, (1, heads, L, L).
    """

    enlarged: Tensor
    context: Tensor
    tokens: Tensor
    biases: list[Tensor]


class UViT(nn.Module):
    """Noisy images (B, 3, H, W), times (B,) and latents (B, latent_dim, h, w) to velocities.

    The velocity is SSDD's, image minus noise: x_t = (1 - t) x + t n, so that x = x_t + t v.
    """

    def __init__(self, config: UViTConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        first, last = widths[0], widths[-1]
        self.conv_in = nn.Conv2d(3 + config.latent_dim, first, 3, padding=1)
        self.time_embedding = TimeEmbedding(first)
        self.ada_ctx_proj = nn.Sequential(
            nn.Conv2d(config.latent_dim, first, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(first, first, 3, padding=1),
        )
        self.down_blocks = nn.ModuleList(down_levels(widths, config.layers))
        heads = config.heads or min(16, max(4, last // 64))
        self.mid_block = WindowTransformer(last, first, config.depth, heads, config.window)
        self.up_blocks = nn.ModuleList(up_levels(widths, config.layers))
        self.conv_norm_out = nn.GroupNorm(GROUPS, first, EPS)
        self.conv_out = nn.Conv2d(first, 3, 3, padding=1)
        regroup(self, config.groups)

    def forward(self, x: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        return self.denoise(x, time, self.condition(latents, x.shape[-2:]))

    def condition(self, latents: Tensor, size: Sequence[int]) -> Condition:
        """What denoising images of this size (H, W) needs of the latents, for all steps.

        Raises MsddError for sizes that the U-Net cannot halve or that hold no window, and for
        latents finer than the transformer's grid.
        """
        height, width = self.grid(size)
        if height % latents.shape[-2] or width % latents.shape[-1]:
            subject = f"latents of {latents.shape[-1]}x{latents.shape[-2]} positions"
            raise MsddError(f"{subject} do not divide this U-ViT's grid of {width}x{height}")
        context = self.ada_ctx_proj(latents)
        tokens = F.silu(resize(context, (height, width))).flatten(2).mT
        biases = self.mid_block.biases(height, width, context.dtype)
        return Condition(resize(latents, size), context, tokens, biases)

    def grid(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of the transformer's grid for images (H, W).

        Raises MsddError for sizes that the U-Net cannot halve or that contain no window.
        """
        factor, least = self.config.factor, self.config.min_side
        if min(size) < least or any(side % factor for side in size):
            sides = f"sides that are multiples of {factor} px and at least {least} px"
            raise MsddError(f"this U-ViT takes images with {sides}, not {size[1]}x{size[0]}")
        return size[0] // factor, size[1] // factor

    def denoise(self, x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """The velocity (B, 3, H, W) at noisy images x and times (B,) in [0, 1]."""
        time = F.silu(self.time_embedding(TIME_SCALE * time))
        x = self.conv_in(torch.cat([x, condition.enlarged], dim=1))
        skips = [x]
        for level in self.down_blocks:
            x = level(x, time, condition.context, skips)
        x = self.mid_block(x, condition.tokens, condition.biases)
        for level in self.up_blocks:
            x = level(x, time, condition.context, skips)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class TimeEmbedding(nn.Module):
    """Times (B,) to (B, 4 width), through cosines and sines at width / 2 frequencies."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)

    def forward(self, time: Tensor) -> Tensor:
        half = self.linear_1.in_features // 2
        steps = torch.arange(half, dtype=torch.float32, device=time.device)
        frequencies = torch.exp(steps * (-math.log(10000) / half))
        angles = time.float()[:, None] * frequencies
        features = torch.cat([angles.cos(), angles.sin()], dim=1)
        return self.linear_2(F.silu(self.linear_1(features.to(self.linear_1.weight.dtype))))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """x (B, C, h, w) at another size (H, W), by nearest neighbour."""
    return x if x.shape[-2:] == torch.Size(size) else F.interpolate(x, tuple(size), mode="nearest")


class AdaGroupNorm(nn.Module):
    """Group norm whose scale and shift come from the context, (B, width of the context, h, w)."""

    def __init__(self, width: int, context_width: int) -> None:
        super().__init__()
        self.num_groups = GROUPS
        self.ctx_proj = nn.Conv2d(context_width, 2 * width, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        # Projected at the latents' resolution, since a 1x1 convolution and nearest commute; then
        # enlarged in columns alone and broadcast over rows. Enlarged whole, as many numbers twice
        # as x has, they would cost as much time as the convolution that follows.
        height, width = context.shape[-2], x.shape[-1]
        scale, shift = resize(self.ctx_proj(context), (height, width))[:, :, :, None].chunk(2, 1)
        rows = F.group_norm(x, self.num_groups, eps=EPS).unflatten(2, (height, -1))
        return modulate(rows, shift, scale).flatten(2, 3)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions: the first after a norm by context, the second after one by time."""

    def __init__(self, width_in: int, width: int, base: int) -> None:
        super().__init__()
        self.norm1 = AdaGroupNorm(width_in, base)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * base, 2 * width)
        self.norm2 = nn.GroupNorm(GROUPS, width, EPS)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        if width_in != width:
            self.conv_shortcut = nn.Conv2d(width_in, width, 1)
        nn.init.zeros_(self.conv2.weight)  # every block begins as its skip path
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.time_emb_proj(time)[..., None, None].chunk(2, dim=1)
        y = self.conv1(F.silu(self.norm1(x, context)))
        y = self.conv2(F.silu(modulate(self.norm2(y), shift, scale)))
        return y + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Downsample(nn.Module):
    """Halves the side; pads all four sides, unlike the encoder's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class DownLevel(nn.Module):
    """Residual blocks, then half the side, except at the last level; leaves each result in skips.

    widths: of the input and of each block's output.
    """

    def __init__(self, widths: Sequence[int], base: int, last: bool) -> None:
        super().__init__()
        pairs = zip(widths, widths[1:], strict=False)
        self.resnets = nn.ModuleList(ResidualBlock(a, b, base) for a, b in pairs)
        self.downsamplers = nn.ModuleList([] if last else [Downsample(widths[-1])])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for block in self.resnets:
            x = block(x, time, context)
            skips.append(x)
        for downsample in self.downsamplers:
            x = downsample(x)
            skips.append(x)
        return x


class UpLevel(nn.Module):
    """Residual blocks, each of which takes one of the skips, then twice the side except at the end.

    widths: of each block's input with its skip, and of its output.
    """

    def __init__(self, widths: Sequence[tuple[int, int]], base: int, last: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResidualBlock(a, b, base) for a, b in widths)
        self.upsamplers = nn.ModuleList([] if last else [Upsample(widths[-1][1])])

    def forward(self, x: Tensor, time: Tensor, context: Tensor, skips: list[Tensor]) -> Tensor:
        for block in self.resnets:
            x = block(torch.cat([x, skips.pop()], dim=1), time, context)
        for upsample in self.upsamplers:
            x = upsample(x)
        return x


def down_levels(widths: Sequence[int], layers: int) -> list[DownLevel]:
    """The levels on the way down, full resolution first.

    widths: channels of each. layers: residual blocks of each.
    """
    before = [widths[0], *widths]
    last = len(widths) - 1
    return [
        DownLevel([before[i]] + [width] * layers, widths[0], last=i == last)
        for i, width in enumerate(widths)
    ]


def up_levels(widths: Sequence[int], layers: int) -> list[UpLevel]:
    """The levels on the way up, lowest resolution first.

    widths: channels of each level, full resolution first. layers: residual blocks of a level on the
    way down; here each has one more. Skips are taken in the reverse of the order they were made.
    """
    last = len(widths) - 1
    skips = [widths[0]]
    for i, width in enumerate(widths):
        skips += [width] * (layers + (i < last))
    levels, before = [], widths[-1]
    for i in range(last, -1, -1):
        inputs = [before] + [widths[i]] * layers
        pairs = [(width + skips.pop(), widths[i]) for width in inputs]
        levels.append(UpLevel(pairs, widths[0], last=i == 0))
        before = widths[i]
    return levels
