"""Images side by side, and how far each is from the first, enlarged."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from msdd.data.image_folder import by_name, by_stem, stack
from msdd.data.photographs import read_photograph
from msdd.errors import MsddError
from msdd.evaluate.sources import check_same
from msdd.files import shown
from msdd.metrics.pixel import psnr
from msdd.report.contact_sheet import LETTER, Sheet, spread

MOST = 8  # images of a folder that are shown, evenly spaced
SIDE = 1024  # pixels of an image in the picture; larger ones are reduced
LEVELS = 255

Row = tuple[str, list[np.ndarray]]  # a name, and the image of that name of every side


def draw(places: Sequence[Path], factor: int) -> Figure:
    """Image files, or folders with images of the same names; the first is what others differ from.

    factor: of the differences that are shown, |image - first|, cut off at white.
    Raises MsddError for sizes that differ, naming both, and for names that do.
    """
    rows = list(read(places))
    names, others = list(map(shown, titles(places))), range(1, len(places))
    side = max(max(image.shape[:2]) for _, images in rows for image in images)
    cells = [
        [square(image, side) for image in [*images, *differences(images, factor)]]
        for _, images in rows
    ]
    room = len(cells[0][0][0]) // LETTER + 8  # letters over an image
    heads = [*((name, "") for name in names)]
    heads += [(f"|{names[i]} - {names[0]}|", f"x {factor}") for i in others]
    captions = [["", *decibels(images), *[""] * len(others)] for _, images in rows]
    labels = [(shown(name), "") for name, _ in rows] if len(rows) > 1 else []
    labelled = [(shorten(head, room), below) for head, below in heads]
    return Sheet(
        cells, foot(rows, count(places[0]), factor, side), labels, labelled, captions
    ).draw()


def read(places: Sequence[Path]) -> Iterator[Row]:
    """The images of every row; of folders at most MOST."""
    if not any(place.is_dir() for place in places):
        yield places[0].stem, same_size(list(places))
        return
    for place in places:
        if not place.is_dir():
            raise MsddError(f"{place} is no folder, and others are: name files, or folders")
    sides = [by_name(place, str(place)) for place in places]
    for images, place in zip(sides[1:], places[1:], strict=True):
        check_same(sides[0], images, places[0], place)
    names = sorted(sides[0])
    for i in spread(len(names), MOST):
        yield names[i], same_size([images[names[i]] for images in sides])


def count(place: Path) -> int:
    """Images of a folder; 1 for a file."""
    return len(by_stem(place, str(place))) if place.is_dir() else 1


def how_many(there: int) -> str:
    """What is shown of a folder with so many images."""
    return f"{there} images" if there <= MOST else f"{MOST} of {there} images, evenly spaced"


def same_size(paths: Sequence[Path]) -> list[np.ndarray]:
    """Images (H, W, 3) as uint8; MsddError that names two whose sizes differ."""
    images = [read_photograph(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            sizes = [f"{one.shape[1]} x {one.shape[0]}" for one in (images[0], image)]
            raise MsddError(
                f"{paths[0]} has {sizes[0]} pixels and {path} {sizes[1]}: they must have the same "
                "size"
            )
    return images


def differences(images: Sequence[np.ndarray], factor: int) -> list[np.ndarray]:
    """factor * |image - first| of uint8 images, cut off at 255."""
    return [
        np.minimum(factor * np.abs(image.astype(int) - images[0]), LEVELS).astype(np.uint8)
        for image in images[1:]
    ]


def square(image: np.ndarray, side: int) -> np.ndarray:
    """The image at the foot of a white square of that side, reduced to at most SIDE pixels."""
    rows, columns = (side - length for length in image.shape[:2])
    padded = np.pad(image, ((rows, 0), (0, columns), (0, 0)), constant_values=LEVELS)
    return np.asarray(Image.fromarray(padded).reduce(reduction(side)))


def reduction(side: int) -> int:
    return math.ceil(side / SIDE)


def decibels(images: Sequence[np.ndarray]) -> list[str]:
    """PSNR of each but the first against the first, in dB."""
    values = [float(psnr(stack([images[0]]), stack([image]))) for image in images[1:]]
    return ["equal" if math.isinf(value) else f"PSNR {value:.2f} dB" for value in values]


def titles(places: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [place.absolute().parts for place in places]
    for count in range(1, max(map(len, parts))):
        names = ["/".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(place) for place in places]


def shorten(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def foot(rows: Sequence[Row], there: int, factor: int, side: int) -> str:
    height, width = rows[0][1][0].shape[:2]
    what = how_many(there) if len(rows) > 1 else f"{width} x {height} px"
    smaller = f", shown reduced {reduction(side)} times" if reduction(side) > 1 else ""
    return (
        f"{what}{smaller}; differences are enlarged {factor} times and cut off at white. PSNR is "
        "of each image against the first, of 8-bit levels."
    )
