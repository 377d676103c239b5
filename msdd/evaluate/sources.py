"""Sources of images: a folder with a tokenizer or callable, or two folders."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msdd.data.centre_crops import centre_crop
from msdd.data.file_rates import rate
from msdd.data.image_folder import (
    READERS,
    at_least_two,
    composed_form,
    images_digest,
    listed,
    read_ahead,
    read_listed,
    stack,
)
from msdd.data.pixels import check_finite, from_uint8
from msdd.errors import MsddError
from msdd.evaluate.latent_sums import Encoded, Made
from msdd.pipeline.fingerprint import closure_digest

Reconstruct = Callable[[Tensor, Sequence[str]], Tensor | Made]
AS_IS = "images as they are"  # what is done to those that are given in pairs, or as samples
BATCH, BATCH_PIXELS = 64, 64 * 256**2  # at most at once, unless a number is given


@dataclass(frozen=True)
class Subject:
    """A tokenizer as an evaluation sees it.

    about: what a report says of it beside its metrics, and what tells two of them apart
    resolution: side of the crops it is given
    """

    about: dict[str, object]
    resolution: int
    reconstruct: Reconstruct


class Batch(NamedTuple):
    """Images of one size: their places in the set, originals (B, 3, H, W) as uint8,
    reconstructions as uint8 or as floats in [-1, 1], the latents between, if they are known, and
    the bits per pixel of the reconstructions' files, if they are files."""

    ids: list[int]
    originals: Tensor
    reconstructions: Tensor
    encoded: Encoded | None = None
    rates: list[float] | None = None


class Source(Protocol):
    """Images by name, in batches of originals and reconstructions.

    preparation: what is done to originals before they are measured
    photographs: of which photograph each image is a crop, as a number, where that is known
    """

    names: list[str]
    preparation: str
    photographs: list[int] | None

    def pixels(self) -> Sequence[int]:
        """The number of pixels of each image on one side, in the order of the names."""

    def digest(self) -> str:
        """SHA-256 of the originals and their names."""

    def identity(self) -> object:
        """What decides what is measured, beside what a report says of it: digests of code and of
        files, wherever these lie. For JSON."""

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        """The images at each range of places, as one batch for each size of image."""


def split(count: int, batch: int) -> list[range]:
    """The places 0 to `count` in batches; the last may be short."""
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def deal(source: Source, batch: int | None) -> list[range]:
    """The places of a source's images in batches of `batch`; None: of 64, but of no more pixels
    than 64 images of 256 px have, so that memory does not grow with the size of the images."""
    if batch is not None:
        return split(len(source.names), batch)
    ranges, start, total = [], 0, 0
    for place, pixels in enumerate(source.pixels()):
        if place > start and (place - start == BATCH or total + pixels > BATCH_PIXELS):
            ranges.append(range(start, place))
            start, total = place, 0
        total += pixels
    return [*ranges, range(start, len(source.names))]


class Folders:
    """Originals and reconstructions of the same names, apart from their endings.

    Raises MsddError where the names disagree or are fewer than 2; where sizes do, when the images
    are read.
    """

    preparation = AS_IS
    photographs: list[int] | None = None

    def __init__(self, originals: Path, reconstructions: Path) -> None:
        sides = [
            at_least_two(originals, "--originals"),
            at_least_two(reconstructions, "--reconstructions"),
        ]
        check_same(*sides, originals, reconstructions)
        self.names = sorted(sides[0])
        self.paths, self.others = ([side[name] for name in self.names] for side in sides)
        self.listed, self.others_listed = listed(self.paths), listed(self.others)

    def pixels(self) -> list[int]:
        """Sizes from the files' headers; damage is reported when the images are read."""
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(pixels_of, self.paths))

    def digest(self) -> str:
        return images_digest(named_paths(self))

    def identity(self) -> list[str]:
        others = images_digest(tuple(zip(self.names, self.others, strict=True)))
        return [closure_digest("msdd.evaluate.report"), self.digest(), others]

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        for ids, pairs in read_ahead(self.read, ranges):
            batches = (batch_of(some) for some in same_size(ids, pairs))
            yield [batch._replace(rates=self.rates(batch)) for batch in batches]

    def rates(self, batch: Batch) -> list[float]:
        pixels = batch.originals[0, 0].numel()
        return [rate(self.others[i], pixels) for i in batch.ids]

    def read(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        original = read_listed(self.paths[i], self.listed[i])
        other = read_listed(self.others[i], self.others_listed[i])
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
        by_name = at_least_two(folder, "--images")
        self.names = sorted(by_name)
        self.paths = [by_name[name] for name in self.names]
        self.listed = listed(self.paths)
        self.crop, self.side, self.device = crop, side, device
        self.reconstruct = reconstruct
        self.preparation = f"{crop} crop of {side} px"
        self.photographs = None

    def pixels(self) -> list[int]:
        return [self.side**2] * len(self.names)

    def digest(self) -> str:
        return images_digest(named_paths(self))

    def identity(self) -> list[str]:
        return [closure_digest("msdd.evaluate.report"), self.digest()]

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Batch]]:
        for ids, crops in read_ahead(self.read, ranges):
            originals = stack(crops).to(self.device)
            yield [Batch(ids, originals, *self.reconstructions(originals, ids))]

    def read(self, i: int) -> np.ndarray:
        image = Image.fromarray(read_listed(self.paths[i], self.listed[i]))
        return np.asarray(centre_crop(image, self.crop, self.side, self.paths[i]))

    @torch.inference_mode()
    def reconstructions(self, originals: Tensor, ids: list[int]) -> tuple[Tensor, Encoded | None]:
        made, encoded = with_latents(
            self.reconstruct(from_uint8(originals), [self.names[i] for i in ids])
        )
        if not isinstance(made, Tensor) or made.shape != originals.shape:
            given = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise MsddError(f"the tokenizer made {given} of images {tuple(originals.shape)}")
        if not made.is_floating_point() and made.dtype != torch.uint8:
            raise MsddError(
                f"the tokenizer made {made.dtype}; it must make floats in [-1, 1], or levels 0 to "
                "255 as torch.uint8"
            )
        check_finite(made, [self.paths[i] for i in ids])
        return made, encoded


def encoded_by(tokenizer: object, latents: Tensor) -> Encoded:
    """Latents with what their tokenizer says of them."""
    return Encoded(latents, getattr(tokenizer, "codes", None), getattr(tokenizer, "books", 1))


def with_latents(made: Tensor | Made) -> tuple[Tensor, Encoded | None]:
    return made if isinstance(made, Made) else (made, None)


def named_paths(source: "Folders | Cropped") -> tuple[tuple[str, Path], ...]:
    """The originals' files with their names."""
    return tuple(zip(source.names, source.paths, strict=True))


def pixels_of(path: Path) -> int:
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except Exception:  # of a dozen types, by format
        return 0


def check_same(a: dict[str, Path], b: dict[str, Path], folder_a: Path, folder_b: Path) -> None:
    for here, there, folder in ((a, b, folder_b), (b, a, folder_a)):
        if missing := sorted(here.keys() - there.keys()):
            check_forms(a, b, folder_b)
            check_forms(b, a, folder_a)
            raise MsddError(
                f"{folder} has no image named like {here[missing[0]]}, and {len(missing)} of "
                f"{len(here)} are missing in all: names must be the same except for their endings"
            )


def check_forms(side: dict[str, Path], other: dict[str, Path], folder: Path) -> None:
    """MsddError where two images of a side could be the partner of one image of the other's folder,
    because only their form of Unicode tells their names apart."""
    seen: dict[str, str] = {}
    for name in side:
        twin = seen.setdefault(composed_form(name), name)
        if twin != name and not {twin, name} <= other.keys():
            raise MsddError(
                f"{side[twin].parent} holds {ascii(side[twin].name)} and {ascii(side[name].name)}, "
                "names that only the form of Unicode tells apart (composed, NFC, and decomposed, "
                f"NFD), and {folder} has not both: rename one of the two"
            )


def same_size(ids: list[int], pairs: list[tuple]) -> list[dict[int, tuple]]:
    """Pairs by their ids, a table for each size of image."""
    groups: dict[tuple, dict[int, tuple]] = {}
    for i, pair in zip(ids, pairs, strict=True):
        groups.setdefault(pair[0].shape, {})[i] = pair
    return list(groups.values())


def batch_of(pairs: dict[int, tuple]) -> Batch:
    return Batch(list(pairs), *map(stack, zip(*pairs.values(), strict=True)))
