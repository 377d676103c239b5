"""Sets of images without partners: a folder, the array of a `.npz` file, or a tensor."""

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msdd.arrays import HEADERS, read_npz
from msdd.data.image_folder import (
    READERS,
    at_least_two,
    images_digest,
    listed,
    read_ahead,
    read_listed,
    stack,
)
from msdd.data.metadata import orientation
from msdd.data.tars import WORDNET_ID
from msdd.errors import MsddError
from msdd.evaluate.reference_statistics import check_archive
from msdd.evaluate.tensors import check, digest_of, levels
from msdd.files import digest
from msdd.pipeline.fingerprint import closure_digest

ARRAY, LABELS = "arr_0", "arr_1"  # of guided-diffusion's files


class Images(NamedTuple):
    """Places in the set, and images (B, 3, H, W) as uint8."""

    ids: list[int]
    images: Tensor


class ImageSet(Protocol):
    """Images of one size, in batches.

    size:    width and height
    classes: of each image, where names or labels carry them
    remark:  why labels that seem to be there are not taken; empty without such
    """

    names: list[str]
    size: tuple[int, int]
    classes: list[str] | None
    remark: str

    def digest(self) -> str: ...
    def batches(self, ranges: Iterable[range]) -> Iterator[list[Images]]: ...

    def pixels(self) -> list[int]:
        return [self.size[0] * self.size[1]] * len(self.names)

    def identity(self) -> object:
        return [closure_digest("msdd.evaluate.samples_report"), self.digest()]


def image_set(place: Path | Tensor, option: str) -> ImageSet:
    """A folder, a `.npz` file with `arr_0`, or a tensor (N, 3, H, W).

    MsddError naming the option: for what is none of them, fewer than 2 images, or several sizes.
    """
    if isinstance(place, Tensor):
        return TensorSet(place, option)
    if place.is_dir():
        return FolderSet(place, option)
    if not place.exists():
        raise MsddError(f"{option}: there is no folder or .npz file {place}")
    return ArraySet(place, option)


class FolderSet(ImageSet):
    """A folder of images of one size."""

    def __init__(self, folder: Path, option: str) -> None:
        by_name = at_least_two(folder, option)
        self.option, self.names = option, sorted(by_name)
        self.paths = [by_name[name] for name in self.names]
        self.listed = listed(self.paths)
        self.size = self.one_size(folder)
        self.classes, self.remark = classes_of(self.names)

    def one_size(self, folder: Path) -> tuple[int, int]:
        """As the files' headers say."""
        with ThreadPoolExecutor(READERS) as pool:
            sizes = Counter(size for size in pool.map(size_of, self.paths) if size)
        if len(sizes) > 1:
            most = ", ".join(f"{w} x {h}" for (w, h), _ in sizes.most_common(3))
            more = ", ..." if len(sizes) > 3 else ""
            raise MsddError(
                f"{self.option} {folder} has images of {len(sizes)} sizes ({most} px{more}), and "
                "must have one: uncropped originals are cropped first, as the samples were"
            )
        return next(iter(sizes), (0, 0))

    def digest(self) -> str:
        return images_digest(tuple(zip(self.names, self.paths, strict=True)))

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Images]]:
        for ids, images in read_ahead(self.read, ranges):
            yield [Images(ids, stack(images))]

    def read(self, i: int) -> np.ndarray:
        image = read_listed(self.paths[i], self.listed[i])
        if image.shape[1::-1] != self.size:
            sizes = f"{image.shape[1]} x {image.shape[0]} px, not {self.size[0]} x {self.size[1]}"
            raise MsddError(f"{self.paths[i]} has {sizes}, as the others of {self.option} have")
        return image


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height of an upright image; None for a damaged one, an error when it is read."""
    try:
        with Image.open(path) as image:
            return image.size[::-1] if orientation(image) in range(5, 9) else image.size
    except Exception:  # of a dozen types, by format
        return None


class ArraySet(ImageSet):
    """The images `arr_0`, uint8 (N, H, W, 3), of a `.npz` file, read when they are due.

    Labels (N,) may stand in `arr_1`.
    """

    def __init__(self, path: Path, option: str) -> None:
        self.path, self.option = path, option
        check_archive(path)
        (count, height, width, _), self.start = header(path, option)
        self.size, self.bytes = (width, height), height * width * 3
        self.names = [str(i) for i in range(count)]
        self.classes, self.remark = labels(path, count)

    def digest(self) -> str:
        return digest(self.path)

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Images]]:
        """Ranges ascend, so that the file is read once, compressed or not."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{ARRAY}.npy") as file:
                for part in ranges:
                    file.seek(self.start + part[0] * self.bytes)
                    yield [Images(list(part), self.images(file.read(len(part) * self.bytes)))]
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise damaged(self.path, error) from error

    def images(self, read: bytes) -> Tensor:
        width, height = self.size
        levels = np.frombuffer(read, np.uint8).reshape(-1, height, width, 3)
        return torch.from_numpy(levels.copy()).permute(0, 3, 1, 2).contiguous()


class TensorSet(ImageSet):
    """Images in memory, (N, 3, H, W): uint8, or floats in [-1, 1], which are rounded."""

    classes, remark = None, ""

    def __init__(self, images: Tensor, option: str) -> None:
        check(f"the images of {option.removeprefix('--')}", images)
        self.images = levels(images)
        self.names = [str(i) for i in range(len(images))]
        self.size = (images.shape[3], images.shape[2])

    def digest(self) -> str:
        return digest_of(self.images)

    def identity(self) -> str:
        return self.digest()

    def batches(self, ranges: Iterable[range]) -> Iterator[list[Images]]:
        for part in ranges:
            yield [Images(list(part), self.images[list(part)])]


def header(path: Path, option: str) -> tuple[tuple[int, ...], int]:
    """Shape of `arr_0` and where its pixels start; MsddError unless they are images."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if ARRAY not in names:
                raise MsddError(without_images(path, option, names))
            place = archive.getinfo(f"{ARRAY}.npy")
            with archive.open(place) as file:
                shape, fortran, kind = HEADERS[np.lib.format.read_magic(file)](file)
                start = file.tell()
    except MsddError:
        raise
    except Exception as error:  # every damage has its own exception
        raise damaged(path, error) from error
    check_images(path, option, shape, str(kind), fortran)
    if start + math.prod(shape) != place.file_size:
        raise damaged(path, f"{ARRAY} is not as large as its header says")
    return shape, start


def damaged(path: Path, reason: object) -> MsddError:
    told = " ".join(str(reason).split())[:200] or type(reason).__name__
    return MsddError(f"{path} cannot be read as images ({told}); make or fetch it again")


def without_images(path: Path, option: str, names: list[str]) -> str:
    if "mu" in names:
        return (
            f"{option} {path} holds statistics (mu), no images: the array {ARRAY} is missing; "
            "statistics serve as --reference"
        )
    others = ", ".join(names[:5]) or "nothing"
    return f"{option} {path} has no array {ARRAY} with images, but {others}"


def check_images(path: Path, option: str, shape: tuple[int, ...], kind: str, fortran: bool) -> None:
    """MsddError unless they are at least 2 images as 8-bit levels, in the order of guided-diffusion
    (N, H, W, 3)."""
    wrong = f"{option} {path}: {ARRAY} is {kind} of shape {shape}; it must be"
    if kind != "uint8" or fortran:
        raise MsddError(f"{wrong} levels 0 to 255 as uint8, (N, H, W, 3) in C order")
    if len(shape) != 4 or shape[3] != 3 or min(shape[1:]) < 1:
        hint = ", which a transposition gives" if shape[1:2] == (3,) else ""
        raise MsddError(f"{wrong} images (N, H, W, 3){hint}")
    if shape[0] < 2:
        raise MsddError(f"{wrong} of at least 2 images")


def labels(path: Path, count: int) -> tuple[list[str] | None, str]:
    """Class labels from whole numbers (N,) in `arr_1`, None if there are none; and the reason why
    an `arr_1` is ignored."""
    with zipfile.ZipFile(path) as archive:
        if f"{LABELS}.npy" not in archive.namelist():
            return None, ""
    try:
        found = read_npz(path, [LABELS])[LABELS]
    except MsddError as error:
        return None, f"{LABELS} holds no labels, so classes are not reported: {error}"
    if found.shape == (count,) and found.dtype.kind in "iu":
        return list(map(str, found)), ""
    is_now = f"{path}: {LABELS} is {found.dtype} of shape {found.shape}"
    each = f"one whole number for each of {count:,} images"
    return None, f"{is_now}, not {each}: classes are not reported"


def classes_of(names: list[str]) -> tuple[list[str] | None, str]:
    """The class of each image: the ImageNet class in its name or folder, or else its folder; None
    unless all images have one and they differ. And the reason, where only some have one."""
    classes = [match[0] if (match := WORDNET_ID.search(name)) else None for name in names]
    without = [name for name, one in zip(names, classes, strict=True) if one is None]
    if without:
        classes = [PurePosixPath(name).parent.name or None for name in names]
    found = [one for one in classes if one is not None]
    if len(found) == len(names):
        return (found if len(set(found)) > 1 else None), ""
    if len(without) == len(names) and not found:
        return None, ""
    first = without[0] if len(without) < len(names) else names[classes.index(None)]
    others = "but others have: classes are not reported"
    return None, f"{first} has no class in its name or folder, {others}"
