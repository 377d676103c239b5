"""Where an evaluation takes its images from: two folders, or one folder and a tokenizer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msdd.data.centre_crops import CROPS
from msdd.data.image_folder import at_least_two, read_ahead, stack
from msdd.data.photographs import read_photograph
from msdd.data.pixels import check_finite, from_uint8
from msdd.errors import MsddError

Reconstruct = Callable[[Tensor, Sequence[str]], Tensor]


class Batch(NamedTuple):
    """Images of one size: their places in the set, originals (B, 3, H, W) as uint8, and
    reconstructions as uint8 or as floats in [-1, 1]."""

    ids: list[int]
    originals: Tensor
    reconstructions: Tensor


class Folders:
    """Originals and reconstructions of the same names, apart from their endings.

    Raises MsddError where the names disagree or are fewer than 2; where sizes do, when the images
    are read.
    """

    preparation = "images as they are"  # before their features are taken

    def __init__(self, originals: Path, reconstructions: Path) -> None:
        sides = [
            at_least_two(originals, "--originals"),
            at_least_two(reconstructions, "--reconstructions"),
        ]
        check_same(*sides, originals, reconstructions)
        self.names = sorted(sides[0])
        self.paths, self.others = ([side[name] for name in self.names] for side in sides)

    def files(self) -> list[Path]:
        """All that is read."""
        return [*self.paths, *self.others]

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        """For every range of places its images, a batch for each size."""
        for ids, pairs in read_ahead(self.read, ranges):
            yield [batch_of(some) for some in same_size(ids, pairs)]

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        original, other = read_photograph(self.paths[i]), read_photograph(self.others[i])
        if original.shape != other.shape:
            sizes = [f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (original, other)]
            raise MsddError(
                f"{self.others[i]} has {sizes[1]} pixels and its original {self.paths[i]} has "
                f"{sizes[0]}: they must have the same size"
            )
        return original, other


class Cropped:
    """Crops of a folder's images, and what `reconstruct` makes of them.

    reconstruct: from images (B, 3, side, side) in [-1, 1] and their names to reconstructions of the
                 same form, or as uint8.

    Raises MsddError for fewer than 2 images.
    """

    def __init__(
        self, folder: Path, crop: str, side: int, reconstruct: Reconstruct, device: torch.device
    ) -> None:
        found = at_least_two(folder, "--images")
        self.names = sorted(found)
        self.paths = [found[name] for name in self.names]
        self.crop, self.side, self.reconstruct, self.device = CROPS[crop], side, reconstruct, device
        self.preparation = f"{crop} crop of {side} px"

    def files(self) -> list[Path]:
        """All that is read."""
        return self.paths

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        """For every range of places its images in one batch."""
        for ids, crops in read_ahead(self.read, ranges):
            originals = stack(crops).to(self.device)
            yield [Batch(ids, originals, self.reconstructed(originals, ids))]

    def read(self, i: int) -> np.ndarray:
        return np.asarray(self.crop(Image.fromarray(read_photograph(self.paths[i])), self.side))

    @torch.inference_mode()
    def reconstructed(self, originals: Tensor, ids: list[int]) -> Tensor:
        made = self.reconstruct(from_uint8(originals), [self.names[i] for i in ids])
        if not isinstance(made, Tensor) or made.shape != originals.shape:
            given = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise MsddError(f"the tokenizer made {given} of images {tuple(originals.shape)}")
        if not made.is_floating_point() and made.dtype != torch.uint8:
            raise MsddError(
                f"the tokenizer made {made.dtype}; it must make floats in [-1, 1], or levels 0 to "
                "255 as torch.uint8"
            )
        check_finite(made, [self.paths[i] for i in ids])
        return made


def check_same(a: dict[str, Path], b: dict[str, Path], folder_a: Path, folder_b: Path) -> None:
    for here, there, folder in ((a, b, folder_b), (b, a, folder_a)):
        if missing := sorted(here.keys() - there.keys()):
            raise MsddError(
                f"{folder} has no image named like {here[missing[0]]}, and {len(missing)} of "
                f"{len(here)} are missing in all: names must agree but for their endings"
            )


def same_size(ids: list[int], pairs: list[tuple]) -> list[dict[int, tuple]]:
    """Pairs by their ids, a table for each size of image."""
    groups: dict[tuple, dict[int, tuple]] = {}
    for i, pair in zip(ids, pairs, strict=True):
        groups.setdefault(pair[0].shape, {})[i] = pair
    return list(groups.values())


def batch_of(pairs: dict[int, tuple]) -> Batch:
    return Batch(list(pairs), *map(stack, zip(*pairs.values(), strict=True)))
