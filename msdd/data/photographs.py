"""Where images come from: photographs embedded in installed packages, or folders of images."""

import importlib.util
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from msdd.data.image_file import decode, read_file
from msdd.errors import MsddError
from msdd.files import expand_user, walk
from msdd.params.sections import Data
from msdd.pipeline.checkout import original
from msdd.seeds import hash_of

# Formats that Pillow opens without decoding them, or by programs that may not be there.
UNREAD = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
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
    names, others = told_apart(folder)
    if not names:
        raise no_image(value, others, option)
    return [Photograph(name, str(folder)) for name in names]


def no_image(folder: object, others: list[str], option: str) -> MsddError:
    seen = of_other_kinds(others) if others else "it holds no files"
    return MsddError(f"{option}: no image below the folder {folder}; {seen}")


def image_names(folder: Path) -> list[str]:
    """The files below a folder that Pillow reads, by their endings; sorted."""
    return told_apart(folder)[0]


def told_apart(folder: Path) -> tuple[list[str], list[str]]:
    """The names of images and of other files below a folder (`msdd.files.walk`)."""
    images, others = [], []
    for name in walk(folder):
        (images if os.path.splitext(name)[1].lower() in endings() else others).append(name)
    return images, others


@cache
def endings() -> frozenset[str]:
    """Endings of the formats that this Pillow reads, with their dot."""
    Image.init()
    formats = Image.OPEN.keys() - UNREAD | {"MPO"}  # which opens as the JPEG that it begins with
    return frozenset(e for e, name in Image.registered_extensions().items() if name in formats)


def other_files(data: Data, root: Path = Path(".")) -> list[str]:
    """Files in the folders of photographs that are no images, by their names below them."""
    named = [folder for folder in (data.photographs, data.held_out) if folder]
    folders = [expand_user(one, original(root)) for one in named if one != "embedded"]
    return [name for folder in folders for name in told_apart(folder)[1]]


def of_other_kinds(names: list[str]) -> str:
    """One line on files that are no images: how many of which ending, and the first of them."""
    kinds = Counter(os.path.splitext(name)[1].lower() or "without ending" for name in names)
    counted = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(5))
    first = f"{names[0]!r}" if len(names) == 1 else f"{names[0]!r} and others"
    return f"{len(names)} file{'s' * (len(names) != 1)} of other kinds ({counted}): {first}"


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
