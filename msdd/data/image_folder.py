"""Folders of images: which there are, and their pixels read ahead of need."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from msdd.data.photographs import EXTENSIONS, image_names
from msdd.errors import MsddError

READERS = 8  # threads that decode image files


def existing(folder: Path, option: str) -> Path:
    if not folder.is_dir():
        raise MsddError(f"{option}: there is no folder {folder}")
    return folder


def by_stem(folder: Path, option: str) -> dict[str, Path]:
    """Images below a folder by their path below it without the ending; MsddError for none."""
    found: dict[str, Path] = {}
    for name in sorted(image_names(existing(folder, option))):
        stem = PurePosixPath(name).with_suffix("").as_posix()
        if stem in found:
            raise MsddError(f"{option}: {found[stem]} and {folder / name} have the same name")
        found[stem] = folder / name
    if not found:
        known = ", ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise MsddError(f"{option}: no image below the folder {folder} (looked for {known})")
    return found


def several(folder: Path, option: str) -> dict[str, Path]:
    """`by_stem` of at least 2 images, without which nothing has an interval or a covariance."""
    found = by_stem(folder, option)
    if len(found) < 2:
        raise MsddError(f"{option}: an evaluation needs at least 2 images, not {len(found)}")
    return found


def ahead(read: Callable[[int], object], ranges: Iterable[range]) -> Iterator[tuple[list, list]]:
    """Ids of each range, and what `read` gives for them; the next range is read meanwhile."""
    waiting: deque[tuple[list, list]] = deque()
    pool = ThreadPoolExecutor(READERS)
    try:
        for ids in map(list, ranges):
            waiting.append((ids, [pool.submit(read, i) for i in ids]))
            if len(waiting) > 1:
                yield settled(*waiting.popleft())
        while waiting:
            yield settled(*waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def settled(ids: list, futures: list) -> tuple[list, list]:
    return ids, [future.result() for future in futures]


def stacked(images: Iterable[np.ndarray]) -> Tensor:
    """uint8 (H, W, 3) to (B, 3, H, W)."""
    return torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).contiguous()
