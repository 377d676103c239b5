"""Folders of images: which there are, their digest, and their pixels read ahead of need."""

import hashlib
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from msdd.data.photographs import read_photograph
from msdd.data.prefetch import prefetch
from msdd.data.sources import no_image, of_other_kinds, told_apart
from msdd.errors import MsddError
from msdd.files import digest, stamp, text_of
from msdd.listing import walk

READERS = 8  # threads that decode image files


def check_folder(folder: Path, option: str) -> Path:
    """The folder; MsddError naming the option if there is none."""
    if not folder.is_dir():
        raise MsddError(f"{option}: there is no folder {folder}")
    return folder


def by_stem(folder: Path, option: str) -> dict[str, Path]:
    """Images below a folder by their path below it without the ending; MsddError for none."""
    paths: dict[str, Path] = {}
    names, others = told_apart(walk(check_folder(folder, option)))
    for name in names:
        stem = PurePosixPath(name).with_suffix("").as_posix()
        if stem in paths:
            raise MsddError(f"{option}: {paths[stem]} and {folder / name} have the same name")
        paths[stem] = folder / name
    if not paths:
        raise no_image(folder, others, option)
    tell_others(option, tuple(others))
    return paths


@cache
def tell_others(option: str, others: tuple[str, ...]) -> None:
    """Once, also where a folder is listed several times."""
    if others:
        print(f"msdd: {option}: left out {of_other_kinds(list(others))}", file=sys.stderr)


def at_least_two(folder: Path, option: str) -> dict[str, Path]:
    """The images of `by_name`; MsddError for fewer than 2, without which nothing has an interval
    or a covariance."""
    paths = by_name(folder, option)
    if len(paths) < 2:
        raise MsddError(f"{option}: an evaluation needs at least 2 images, not {len(paths)}")
    return paths


def by_name(folder: Path, option: str) -> dict[str, Path]:
    """The images of `by_stem` by the names that they have in a set, `set_names`."""
    paths = by_stem(folder, option)
    named = dict(zip(set_names(list(paths)), paths.values(), strict=True))
    if len(named) < len(paths):  # a name that spells the escape of another's bytes
        first = next(path for path in paths.values() if path not in named.values())
        raise MsddError(f"{option}: rename {ascii(str(first))}: as text it is named like another")
    return named


def set_names(stems: Sequence[str]) -> list[str]:
    """Names that are text, in the composed form of Unicode (NFC), as most file systems have them.

    macOS and its archives write the decomposed form (NFD), which looks the same. Names that only
    the form tells apart, inside a folder, keep theirs.
    """
    texts = [text_of(stem) for stem in stems]
    composed = [composed_form(text) for text in texts]
    alike = Counter(composed)
    pairs = zip(texts, composed, strict=True)
    return [name if alike[name] == 1 else text for text, name in pairs]


def composed_form(name: str) -> str:
    """NFC, which the two forms of a name have in common."""
    return unicodedata.normalize("NFC", name)


def listed(paths: Iterable[Path]) -> list[tuple[int, ...]]:
    """What `read_listed` recognises files by: size and time, as links and rights may change."""
    return [stamp(path)[1:3] for path in paths]


def read_listed(path: Path, was: tuple[int, ...]) -> np.ndarray:
    """An image as `read_photograph` gives it. MsddError where its file is no longer that which was
    listed, and of which digests speak: statistics under its name would be another image's."""
    image = read_photograph(path)
    if stamp(path)[1:3] != was:
        raise MsddError(f"{path} has changed meanwhile: begin again when nothing writes there")
    return image


def read_ahead(
    read: Callable[[int], object], ranges: Iterable[Sequence[int]]
) -> Iterator[tuple[list[int], list]]:
    """Places of each range, and what `read` gives for them; the next range is read meanwhile."""
    pool = ThreadPoolExecutor(READERS)
    try:
        for pairs in prefetch(lambda i: (i, read(i)), ranges, pool, depth=1):
            yield [i for i, _ in pairs], [result for _, result in pairs]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def images_digest(named: tuple[tuple[str, Path], ...]) -> str:
    """SHA-256 over the names in the set and the contents of these files, in this order.

    The names tell which images KID takes its sample of.
    """
    sha = hashlib.sha256()
    for name, path in named:
        sha.update(f"{name} {_digest_at(path, stamp(path))}\n".encode())
    return sha.hexdigest()


@cache
def _digest_at(path: Path, _changed: tuple[int, ...]) -> str:
    """SHA-256 of a file as it was at a time; every file is read once in a process."""
    return digest(path)


def stack(images: Iterable[np.ndarray]) -> Tensor:
    """uint8 (H, W, 3) to (B, 3, H, W)."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()
