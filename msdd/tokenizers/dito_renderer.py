"""DiTo's renderer: the U-Net of OpenAI's consistency decoder, which denoises an image."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.mmdit import modulate

GROUPS = 32
BLOCKS = 3  # residual blocks in a level on the way down; the way up has one more
TIME_SCALE = 1000.0


def time_features(time: Tensor, channels: int) -> Tensor:
    """Cosines, then sines, of 1000 t at channels / 2 frequencies from 1 to 1/10000, both included.

    time: (B,) in [0, 1]. Returns (B, channels).
    """
    of = {"dtype": torch.float32, "device": time.device}
    exponents = torch.linspace(0, -math.log(10000), channels // 2, **of)
    angles = TIME_SCALE * time.float()[:, None] * exponents.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


def double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Block(nn.Module):
    """Two 3x3 convolutions; time scales and shifts the second norm.

    resample: `halve` or `double`, of both paths, before the first convolution.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        time_width: int,
        resample: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample or nn.Identity()
        self.norm1 = nn.GroupNorm(GROUPS, width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.time = nn.Linear(time_width, 2 * width)
        self.norm2 = nn.GroupNorm(GROUPS, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (B, width_in, h, w); condition: (B, time_width) or (1, time_width)."""
        scale, shift = self.time(condition)[:, :, None, None].chunk(2, dim=1)
        y = self.conv1(self.resample(F.silu(self.norm1(x))))
        y = self.conv2(F.silu(modulate(self.norm2(y), shift, scale)))
        return y + self.skip(self.resample(x))


class Renderer(nn.Module):
    """Noisy images (B, 3, H, W), time (B,) or (1,) and enlarged latents to the prediction.

    channels: of the image and latents together.
    widths:   of the levels, full resolution first; each level has half the side of the one before.
    features: channels of the sinusoidal embedding of the time, time_width those of the condition.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], features: int, time_width: int
    ) -> None:
        super().__init__()
        self.features = features
        self.embed_image = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.embed_time = nn.Sequential(
            nn.Linear(features, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        self.down, skip_widths = down_path(widths, time_width)
        self.mid = nn.ModuleList(Block(widths[-1], widths[-1], time_width) for _ in range(2))
        self.up = up_path(widths, skip_widths, time_width)
        self.output = nn.Sequential(
            nn.GroupNorm(GROUPS, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 3, 3, padding=1)
        )

    def forward(self, x: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        """latents: (B, channels - 3, H, W)."""
        condition = self.condition(time)
        x = self.embed_image(torch.cat([x, latents], dim=1).to(condition.dtype))
        skips = [x]
        for level in self.down:
            for block in level:
                x = block(x, condition)
                skips.append(x)
        for block in self.mid:
            x = block(x, condition)
        for level in reversed(self.up):
            for block in level:
                joins = block.resample is not double
                x = block(torch.cat([x, skips.pop()], dim=1) if joins else x, condition)
        return self.output(x)

    def condition(self, time: Tensor) -> Tensor:
        """What the blocks read of the time: (B, time_width)."""
        features = time_features(time, self.features).to(self.embed_image.weight.dtype)
        return F.silu(self.embed_time(features))


def down_path(widths: Sequence[int], time_width: int) -> tuple[nn.ModuleList, list[int]]:
    """Levels from high to low resolution, and the widths of all that the way up will join.

    That is the embedded image and the output of every block, the pooling ones included.
    """
    levels, skip_widths = nn.ModuleList(), [widths[0]]
    for i, width in enumerate(widths):
        ins = [skip_widths[-1]] + [width] * (BLOCKS - 1)
        level = [Block(n, width, time_width) for n in ins]
        if i + 1 < len(widths):
            level.append(Block(width, width, time_width, halve))
        levels.append(nn.ModuleList(level))
        skip_widths += [width] * len(level)
    return levels, skip_widths


def up_path(widths: Sequence[int], skip_widths: Sequence[int], time_width: int) -> nn.ModuleList:
    """Levels in the order of `down_path`, though they run from the last; each block joins one of
    the kept features, the latest first, except for those that enlarge."""
    levels, skip_widths, before = [], list(skip_widths), widths[-1]
    for i, width in reversed(list(enumerate(widths))):
        ins = [n + skip_widths.pop() for n in [before] + [width] * BLOCKS]
        level = [Block(n, width, time_width) for n in ins]
        if i > 0:
            level.append(Block(width, width, time_width, double))
        levels.append(nn.ModuleList(level))
        before = width
    return nn.ModuleList(reversed(levels))
