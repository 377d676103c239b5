"""Folders of images through a tokenizer: to latents, back from them, or both at once.

Latents are a safetensors file an image, with one tensor, `latents`, and no axis for the batch.
What comes out is named like what went in, but for its ending.
"""

import errno
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load
from safetensors.torch import save as serialise
from torch import Tensor

from msdd.data.centre_crops import centre_crop
from msdd.data.image_folder import by_stem, composed_form, read_ahead, stack, tell_others
from msdd.data.photographs import read_photograph
from msdd.data.pixels import check_finite, from_uint8, to_uint8
from msdd.device import seed_torch
from msdd.errors import MsddError
from msdd.files import atomic, check_place, text_of
from msdd.listing import walk
from msdd.pipeline.progress import Progress
from msdd.seeds import seed_of
from msdd.tokenizers.tokenizer import Tokenizer
from msdd.weights.metadata import pack, unpack

LATENTS = ".safetensors"
TOLD = 20  # files left out that are named one by one
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}  # the next file has them too


@dataclass(frozen=True)
class Cut:
    """How an image becomes what a tokenizer takes: a square of `side` from its centre, reduced as
    `crop` says (`msdd.data.centre_crops`)."""

    crop: str
    side: int

    def __call__(self, path: Path) -> np.ndarray:
        image = Image.fromarray(read_photograph(path))
        return np.asarray(centre_crop(image, self.crop, self.side, path))

    def __str__(self) -> str:
        kernel = {"adm": "box means, then bicubic"}.get(self.crop, self.crop)
        return f"centre square of {self.side} x {self.side} px, resized by {kernel}"

    def check(self, tokenizer: Tokenizer) -> None:
        """MsddError for a tokenizer that does not take this side."""
        tokenizer.check_sides(self.side, self.side)


class Native:
    """An image as it is, for a tokenizer that takes any size (`msdd.tokenizers.any_size`)."""

    def __call__(self, path: Path) -> np.ndarray:
        return read_photograph(path)

    def __str__(self) -> str:
        return "whole, at its own size"

    def check(self, tokenizer: Tokenizer) -> None:
        """Every side is taken."""


def encode(tokenizer: Tokenizer, source: Path, target: Path, cut: Cut | Native, batch: int) -> None:
    """Every image below `source` to latents at the same place below `target`.

    Beside the latents a file tells the weights, the cut, and the sides of what was encoded.
    """
    images = by_stem(source, "IN_DIR")
    about = {"files": json.dumps(dict(tokenizer.files), sort_keys=True), "cut": str(cut)}
    if encoder := tokenizer.encoder_digest():
        about["encoder"] = encoder
    sides: dict[str, list[int]] = {}

    def compute(names: Sequence[str], crops: Sequence[np.ndarray]) -> Iterator[Tensor]:
        sides.update((name, crop.shape[:2]) for name, crop in zip(names, crops, strict=True))
        for some, run in in_runs(names, crops):
            images = from_uint8(stack(run)).to(tokenizer.device)
            with seed_torch(ids(some)[0], tokenizer.device):  # a user's code may draw
                latents = tokenizer.encode(images).cpu()
            yield from latents

    def save(name: str, latents: Tensor) -> None:
        check_finite(latents[None], [name])
        described = pack(about | {"sides": json.dumps(sides.pop(name))})
        with atomic(target / f"{name}{LATENTS}") as temporary:
            temporary.write_bytes(serialise({"latents": latents.contiguous()}, described))

    cut.check(tokenizer)
    through("encode", images, target, Steps(cut, compute, save), batch)


def decode(tokenizer: Tokenizer, source: Path, target: Path, seed: int, batch: int) -> None:
    """All latents below `source` to images at the same place below `target`, as PNG files."""
    files = latent_files(source)

    def compute(names: Sequence[str], stored: Sequence[Stored]) -> Iterator[Tensor]:
        for some, run in in_runs(names, stored):
            made = tokenizer.decode(torch.stack([each.latents for each in run]), ids(some), seed)
            yield from (each.cut(image) for each, image in zip(run, made, strict=True))

    steps = Steps(Latents(tokenizer).read, compute, partial(save_image, target))
    through("decode", files, target, steps, batch)


def reconstruct(
    tokenizer: Tokenizer, source: Path, target: Path, cut: Cut | Native, seed: int, batch: int
) -> None:
    """Every image below `source`, encoded and decoded, to the same place below `target`, as PNG."""
    check_apart(source, target)

    def compute(names: Sequence[str], crops: Sequence[np.ndarray]) -> Iterator[Tensor]:
        for some, run in in_runs(names, crops):
            images = from_uint8(stack(run)).to(tokenizer.device)
            yield from tokenizer.reconstruct(images, ids(some), seed)

    cut.check(tokenizer)
    steps = Steps(cut, compute, partial(save_image, target))
    through("reconstruct", by_stem(source, "IN_DIR"), target, steps, batch)


@dataclass(frozen=True)
class Steps:
    """What is done with files: `read` each, `compute` on a batch, `save` each under its name.

    `compute` takes names and what was read, and gives one result a name, in their order.
    """

    read: Callable[[Path], object]
    compute: Callable[[Sequence[str], Sequence], Iterable[Tensor]]
    save: Callable[[str, Tensor], None]


def through(label: str, files: dict[str, Path], target: Path, steps: Steps, batch: int) -> None:
    """Every file through the steps, batch by batch; the next one is read meanwhile.

    Files that cannot be read, and results that cannot be saved, are left out; the others are made.
    At the end MsddError names those. A full disk and the like end the run at once.
    """
    if not files:
        raise nothing_to(label)
    target.mkdir(parents=True, exist_ok=True)  # what cannot be written is told before the work
    names, bad = list(files), []
    read = attempt(lambda i: steps.read(files[names[i]]))
    save = attempt(steps.save)
    ranges = (range(len(names))[k : k + batch] for k in range(0, len(names), batch))
    with Progress(label, len(names)) as progress:
        for places, results in read_ahead(read, ranges):
            pairs = zip((names[i] for i in places), results, strict=True)
            if good := [pair for pair in pairs if not isinstance(pair[1], MsddError)]:
                done, given = zip(*good, strict=True)
                results += map(save, done, steps.compute(done, given))
            bad += [item for item in results if isinstance(item, MsddError)]
            progress.update(places[-1] + 1)
    if bad:
        with suppress(OSError):
            target.rmdir()  # unless anything is in it
        raise left_out_error(bad, len(names))


def attempt(step: Callable) -> Callable:
    """`step`, with the trouble of one file given back as MsddError instead of raised."""

    def attempted(*given: object) -> object:
        try:
            return step(*given)
        except MsddError as error:
            return error
        except OSError as error:
            if error.errno in OF_THE_DISK:
                raise
            return MsddError(f"{error.filename}: {error.strerror}")

    return attempted


def left_out_error(bad: Sequence[MsddError], count: int) -> MsddError:
    lines = [str(error) for error in bad[:TOLD]]
    more = f", {len(bad) - TOLD} of them unnamed above" if len(bad) > TOLD else ""
    return MsddError("\n".join([*lines, f"{len(bad)} of {count} files were left out{more}"]))


class Latents:
    """What latents a tokenizer takes, as it shows on a black image."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.frozen = getattr(getattr(tokenizer, "config", None), "frozen", None)
        own = getattr(tokenizer, "name", type(tokenizer).__name__)
        self.name = f"{own}, a decoder of {self.frozen.tokenizer}" if self.frozen else own
        self.codes = tokenizer.codes
        self.weights, self.told = set(tokenizer.files.values()), False
        self.encoder = tokenizer.encoder_digest()
        black = -torch.ones(1, 3, *[tokenizer.resolution] * 2)
        self.sample = tokenizer.encode(black)[0].cpu()
        axes = (-2, -1) if tokenizer.multiple else ()
        self.varies = {axis % self.sample.ndim for axis in getattr(tokenizer, "varies", axes)}

    def read(self, path: Path) -> "Stored":
        """The latents in a file. MsddError if they are not for this tokenizer."""
        try:
            latents, written = deserialise(path.read_bytes())
            about = unpack(written)
            weights = set(json.loads(about.get("files", "{}")).values())
            encoder = about.get("encoder")
            sides = sides_of(json.loads(about.get("sides", "null")))
        except Exception as error:  # no such key, no such file, damaged
            raise MsddError(f"{path}: cannot be read as latents ({error})") from error
        if not self.fit(latents):
            raise MsddError(
                f"{path}: {list(latents.shape)} of {latents.dtype} are not latents of {self.name}, "
                f"which has {list(self.sample.shape)} of {self.sample.dtype} for an image"
                + self.hint(about)
            )
        if self.codes:
            self.check_codes(path, latents)
        if latents.is_floating_point() and not latents.isfinite().all():
            raise MsddError(f"{path}: its latents have values that are no finite numbers")
        self.compare(path, weights, encoder)
        return Stored(latents.to(self.sample.dtype), sides)

    def hint(self, about: dict[str, str]) -> str:
        native = about.get("cut") == str(Native())
        return " of its own side; name --size native" if native and not self.varies else ""

    def compare(self, path: Path, weights: set[str], encoder: str | None) -> None:
        """Warn once that latents were made by other weights, if both sides name theirs."""
        if self.frozen and self.frozen.sha256 in weights or encoder and encoder == self.encoder:
            return
        if not self.told and weights and self.weights and weights != self.weights:
            self.told = True
            print(f"msdd: {path} was encoded by other weights than decode it", file=sys.stderr)

    def fit(self, latents: Tensor) -> bool:
        return (
            latents.numel() > 0
            and latents.is_floating_point() == self.sample.is_floating_point()
            and latents.ndim == self.sample.ndim
            and all(
                a == b or axis in self.varies
                for axis, (a, b) in enumerate(zip(latents.shape, self.sample.shape, strict=True))
            )
        )

    def check_codes(self, path: Path, latents: Tensor) -> None:
        """MsddError for an index that no codebook has."""
        low, high = (int(end) for end in latents.long().aminmax())  # uint8 compares modulo 256
        if not 0 <= low <= high < self.codes:
            raise MsddError(
                f"{path}: its indices are {low} to {high}; {self.name} has 0 to {self.codes - 1}"
            )


def sides_of(told: object) -> tuple[int, int] | None:
    """Height and width from a file. ValueError for anything else."""
    if told is None:
        return None
    if not (isinstance(told, list) and len(told) == 2 and all(isinstance(n, int) for n in told)):
        raise ValueError(f"its sides are {told!r:.60}")
    if min(told) < 1:
        raise ValueError(f"its sides are {told}")
    return tuple(told)


class Stored(NamedTuple):
    """Latents in a file, and the height and width of their image, if the file has them."""

    latents: Tensor
    sides: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.latents.shape)

    def cut(self, image: Tensor) -> Tensor:
        """The image (3, H, W) without what it was enlarged by."""
        return image if self.sides is None else image[:, : self.sides[0], : self.sides[1]]


def deserialise(file: bytes) -> tuple[Tensor, dict[str, str]]:
    """The latents in a file of safetensors, and its metadata.

    From its bytes: by a name, safetensors 0.8.0 opens no file whose name is not UTF-8.
    """
    size = int.from_bytes(file[:8], "little")  # of the header, which is JSON
    latents = load(file)["latents"]
    return latents, json.loads(file[8 : 8 + size]).get("__metadata__", {})


def in_runs(names: Sequence[str], things: Sequence) -> Iterator[tuple[tuple, tuple]]:
    """Names and things, in runs of one shape: they may be of images of several sizes."""
    pairs = zip(names, things, strict=True)
    for _, run in groupby(pairs, key=lambda pair: pair[1].shape):
        yield tuple(zip(*run, strict=True))


def ids(names: Sequence[str]) -> list[int]:
    """What the noise of images depends on: their names, in any form of Unicode, not on their
    neighbours."""
    return [seed_of("image", composed_form(text_of(name))) for name in names]


def save_image(target: Path, name: str, image: Tensor) -> None:
    """An image (3, H, W) in [-1, 1] as a PNG file, rounded to 8 bits. MsddError for NaN."""
    check_finite(image[None], [name])
    pixels = to_uint8(image).permute(1, 2, 0).cpu().numpy()
    with atomic(target / f"{name}.png") as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")


def latent_files(folder: Path) -> dict[str, Path]:
    """Files of latents below a folder by their path below it without the ending."""
    names = list(walk(folder))
    tell_others("IN_DIR", tuple(name for name in names if not name.endswith(LATENTS)))
    return {name.removesuffix(LATENTS): folder / name for name in names if name.endswith(LATENTS)}


def check(action: str, source: Path, target: Path) -> None:
    """MsddError for folders with which `encode`, `decode` or `reconstruct` could do nothing: to be
    told before a tokenizer is opened, which may take minutes."""
    if action == "reconstruct":
        check_apart(source, target)
    if not (latent_files(source) if action == "decode" else by_stem(source, "IN_DIR")):
        raise nothing_to(action)
    check_place(target / "a file", "OUT_DIR")


def nothing_to(action: str) -> MsddError:
    return MsddError(f"IN_DIR holds nothing to {action}")


def check_apart(source: Path, target: Path) -> None:
    """Outputs among the inputs would replace some of them, and be inputs of the next run."""
    if target.resolve().is_relative_to(source.resolve()):
        raise MsddError(f"OUT_DIR {target} lies in IN_DIR {source}; name a folder apart from it")
    if not target.exists():
        return
    images = by_stem(source, "IN_DIR")
    originals = {path.resolve() for path in images.values()}
    for made in (target / f"{name}.png" for name in images):
        if made.resolve() in originals:
            raise MsddError(f"{made} in OUT_DIR is an image of IN_DIR; name a folder apart from it")
