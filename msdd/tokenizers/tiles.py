"""Where tiles lie on an image of any size, how they are blended, and how an image is enlarged to
hold them: pure functions, along one axis where the other does the same."""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor


def starts(side: int, tile: int, stride: int) -> list[int]:
    """First pixels of tiles that cover a side: every `stride`, and the last one ends with it."""
    return [*range(0, side - tile, stride), side - tile]


def enlarged(side: int, least: int, multiple: int) -> int:
    """The next side that is a multiple, and no smaller than `least`, which is one too."""
    return max(least, -(-side // multiple) * multiple)


def mirrored(side: int, wanted: int) -> Tensor:
    """Places 0 ... side - 1 in the order that continues them by reflection, (wanted,).

    The outermost pixel is not doubled, and the reflection is reflected again for as long as it
    takes, so that a side of one pixel works.
    """
    period = max(1, 2 * (side - 1))
    place = torch.arange(wanted) % period
    return torch.minimum(place, period - place)


def mirror_pad(images: Tensor, height: int, width: int) -> Tensor:
    """Images (B, C, H, W), continued below and to the right by reflection to height x width."""
    if images.shape[-2:] == (height, width):
        return images
    rows, columns = (
        mirrored(side, wanted).to(images.device)
        for side, wanted in zip(images.shape[-2:], (height, width), strict=True)
    )
    return images[..., rows, :][..., columns]


def shares(begins: list[int], tile: int) -> Tensor:
    """The share of each tile in each of its pixels, (tiles, tile); those of a pixel sum to 1.

    A tile counts linearly less towards its ends, so that it begins and ends unseen.
    """
    ramp = torch.minimum(torch.arange(tile), torch.arange(tile).flip(0)).float() + 0.5
    reach = tile - max((b - a for a, b in zip(begins, begins[1:], strict=False)), default=tile)
    ramp = (ramp / max(reach, 1)).clamp(max=1.0)
    total = torch.zeros(begins[-1] + tile, dtype=torch.float32)
    for begin in begins:
        total[begin : begin + tile] += ramp
    return torch.stack([ramp / total[begin : begin + tile] for begin in begins])


def nearest(begins: list[int], tile: int, positions: Tensor) -> Tensor:
    """For each position, in pixels, the index of the tile whose centre is nearest to it."""
    centres = torch.tensor(begins, dtype=torch.float32) + tile / 2
    return (positions[:, None] - centres).abs().argmin(dim=1)


@dataclass(frozen=True)
class Layout:
    """Tiles of tile x tile pixels that begin at all pairs of `rows` and `columns`."""

    tile: int
    rows: list[int]
    columns: list[int]

    @classmethod
    def over(cls, height: int, width: int, tile: int, stride: tuple[int, int]) -> "Layout":
        """Tiles on height x width pixels, at most `stride` apart."""
        return cls(tile, starts(height, tile, stride[0]), starts(width, tile, stride[1]))

    @property
    def size(self) -> tuple[int, int]:
        return self.rows[-1] + self.tile, self.columns[-1] + self.tile

    def places(self, images: int) -> list[tuple[int, int, int]]:
        """Image, row and column of every tile of so many images."""
        return list(product(range(images), range(len(self.rows)), range(len(self.columns))))

    def window(self, row: int, column: int) -> tuple[slice, slice]:
        top, left = self.rows[row], self.columns[column]
        return slice(top, top + self.tile), slice(left, left + self.tile)
