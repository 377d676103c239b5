"""Where images come from: photographs embedded in installed packages, or folders of images."""

import importlib.util
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from msdd.errors import MsddError
from msdd.files import expand_user
from msdd.params.sections import Data
from msdd.pipeline.checkout import original
from msdd.seeds import hash_of

EXTENSIONS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
EMBEDDED_TRAIN = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "china.jpg")
EMBEDDED_HELD_OUT = ("rocket.jpg", "flower.jpg")
OF_SCIKIT_LEARN = {"china.jpg", "flower.jpg"}


@dataclass(frozen=True, slots=True)
class Photograph:
    """An image file; `name` is its path below `folder`, with forward slashes."""

    name: str
    folder: str

    @property
    def path(self) -> Path:
        return Path(self.folder, self.name)


class PhotographError(MsddError):
    """A file that gives no crops. `kind` is `unreadable` or `too_small`, `reason` names no path."""

    def __init__(self, name: object, kind: str, reason: str):
        super().__init__(f"{name}: {reason}")
        self.kind, self.reason = kind, reason


def splits(data: Data, root: Path = Path(".")) -> dict[str, list[Photograph]]:
    """The photographs of `train` and of `held_out`, each sorted by name.

    `data` is the section of that name in the parameters; relative folders are taken below `root`.
    The split is by photograph: no file gives crops to both sides.
    """
    root = original(root)
    embedded = data.photographs == "embedded"
    if data.held_out:
        train = (
            embedded_photographs(EMBEDDED_TRAIN)
            if embedded
            else in_folder(root, data.photographs, "data.photographs")
        )
        held_out = in_folder(root, data.held_out, "data.held_out")
        check_apart(root, data)
    elif embedded:
        train, held_out = map(embedded_photographs, (EMBEDDED_TRAIN, EMBEDDED_HELD_OUT))
    else:
        photographs = in_folder(root, data.photographs, "data.photographs")
        train, held_out = divide(photographs, data.held_out_fraction)
    return {"train": train, "held_out": held_out}


def embedded_photographs(names: tuple[str, ...]) -> list[Photograph]:
    """Photographs that the wheels of scikit-image and scikit-learn carry; nothing is fetched."""
    return [embedded_photograph(name) for name in sorted(names)]


def embedded_photograph(name: str) -> Photograph:
    package, module, below = "scikit-image", "skimage", "data"
    if name in OF_SCIKIT_LEARN:
        package, module, below = "scikit-learn", "sklearn", "datasets/images"
    spec = importlib.util.find_spec(module)  # finds the folder without importing the package
    folder = Path(spec.origin).parent / below if spec else None
    if folder is None or not (folder / name).is_file():
        raise MsddError(
            f"data.photographs: `embedded` needs {name} of the package {package}, which is missing "
            f"here: install {package}, or name a folder of images"
        )
    return Photograph(name, str(folder))


def in_folder(root: Path, value: str | Path, option: str) -> list[Photograph]:
    """All images below a folder, sorted by relative path; hidden files and folders are left out."""
    folder = expand_user(value, root)
    if not folder.is_dir():
        raise MsddError(f"{option}: there is no folder {value}")
    names = sorted(image_names(folder))
    if not names:
        known = ", ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise MsddError(f"{option}: no image below the folder {value} (looked for {known})")
    return [Photograph(name, str(folder)) for name in names]


def image_names(folder: Path) -> Iterator[str]:
    """Follows links to folders, as data sets often hold them, but enters each folder once."""
    seen = {os.path.realpath(folder)}
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in sorted(folders) if is_new(os.path.join(here, name), seen)]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(here, name).relative_to(folder).as_posix()


def is_new(folder: str, seen: set[str]) -> bool:
    real = os.path.realpath(folder)
    new = real not in seen and not os.path.basename(folder).startswith(".")
    seen.add(real)
    return new


def check_apart(root: Path, data: Data) -> None:
    """A held-out folder inside the training folder, or the reverse, would train on the test."""
    if data.photographs == "embedded":
        return
    train, held_out = (
        expand_user(value, root).resolve() for value in (data.photographs, data.held_out)
    )
    if train.is_relative_to(held_out) or held_out.is_relative_to(train):
        raise MsddError(
            f"data.held_out: the folders {data.photographs} and {data.held_out} contain each other;"
            " held-out images must stand apart from data.photographs"
        )


def divide(
    photographs: list[Photograph], fraction: float
) -> tuple[list[Photograph], list[Photograph]]:
    """Train and held-out photographs by a hash of the name.

    A photograph keeps its side when others are added or removed, but for the two rescues: the
    lowest hash is held out even when it is above `fraction`, the highest always trains.
    """
    if len(photographs) < 2:
        raise MsddError(
            f"data.photographs: {photographs[0].folder} holds one image, and a held-out one is "
            "needed too: add images, or set data.held_out"
        )
    ranked = sorted(photographs, key=lambda photograph: hash_of(photograph.name))
    below = sum(hash_of(photograph.name) < fraction * 2**128 for photograph in ranked)
    cut = min(max(below, 1), len(ranked) - 1)
    return tuple(sorted(part, key=lambda p: p.name) for part in (ranked[cut:], ranked[:cut]))


def read_photograph(path: str | Path) -> np.ndarray:
    """The pixels of an image file as uint8 (H, W, 3), upright; raises PhotographError."""
    return decode(read_file(Path(path), path), path)


def read_file(path: Path, name: object) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotographError(name, "unreadable", error.strerror or str(error)) from error


def decode(file: bytes, name: object) -> np.ndarray:
    """The image in the bytes of a file as uint8 RGB (H, W, 3), upright; the first, if many.

    Decoders report damage by exceptions of a dozen types; all become PhotographError.
    """
    try:
        with Image.open(io.BytesIO(file)) as image:
            return np.asarray(to_rgb(ImageOps.exif_transpose(image)))
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # its own text holds the address of the buffer
        reason = "not an image of a known format" if file else "an empty file"
        raise PhotographError(name, "unreadable", reason) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PhotographError(name, "unreadable", reason) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any picture as 8-bit RGB: transparency on white, 16 bits by their high byte.

    The high byte maps 257 k to k and 65535 to 255; it is also what Pillow does to 16-bit colour.
    Colour profiles are not applied, as in the field's other pipelines.
    """
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save it as 8 or 16 bit")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
