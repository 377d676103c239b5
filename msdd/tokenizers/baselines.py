"""Mean colour and bicubic enlargement as tokenizers, the baselines of every table of quality."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


class MeanColour:
    """Three numbers an image: its mean colour, decoded to a flat image."""

    apart = True

    def __init__(self, resolution: int) -> None:
        self.resolution = resolution

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to (B, 3)."""
        return images.mean((2, 3))

    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        return latents[:, :, None, None].expand(-1, -1, self.resolution, self.resolution)


class Bicubic:
    """The image reduced to `side` pixels by block means, then enlarged by bicubic interpolation."""

    apart = True

    def __init__(self, side: int, resolution: int) -> None:
        self.side, self.resolution = side, resolution

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to (B, 3, side, side)."""
        return F.avg_pool2d(images, self.resolution // self.side)

    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        large = F.interpolate(latents, self.resolution, mode="bicubic", align_corners=False)
        return large.clamp(-1, 1)
