"""Photographs to train on, put into shards one by one, so that a killed preparation goes on."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msdd import files
from msdd.data import photograph_shards
from msdd.data.digests import of_rows, present
from msdd.data.image_file import PhotographError
from msdd.data.photograph import Photograph
from msdd.data.photograph_shards import ROWS, Notes, finished
from msdd.data.prefetch import prefetch
from msdd.data.split import Split, check_unreadable, check_usable
from msdd.params.sections import Data
from msdd.pipeline import layout
from msdd.pipeline.progress import Progress
from msdd.pipeline.task import Task


def write_split(task: Task, folder: Path, split: Split, root: Path) -> Split:
    """Fill `folder` with the photographs of a split, from shards of an earlier attempt if any."""
    key = hashlib.sha256(f"{task.key} {of_rows(present(task.data, root))}".encode()).hexdigest()
    begin(shards(root), key)
    split.shards = write_shards(task, split, shards(root))
    gather(shards(root), sorted(split.shards), folder)
    return split


def shards(root: Path) -> Path:
    """Where shards are until the whole is made."""
    return root / layout.checkpoint(layout.prepared()) / "shards"


def forget(root: Path) -> None:
    files.remove(shards(root))


def begin(aside: Path, key: str) -> None:
    """Remove shards that were made of other photographs, params or code than `key` stands for.

    And what a killed process was writing: only one process at a time comes here.
    """
    known = aside / "key"
    if aside.exists() and not (known.exists() and known.read_text() == key):
        print("msdd: params, code or photographs have changed; preparing afresh", file=sys.stderr)
        files.remove(aside)
    for unfinished in aside.glob(".*.tmp"):
        files.remove(unfinished)
    files.write_text(known, key)


def write_shards(task: Task, split: Split, aside: Path) -> dict[str, str]:
    """Make the shards of a split that are not in `aside` yet; returns the digests of their files.

    The split learns what has become of each photograph; `count` becomes the number that is stored.
    """
    check_usable(split)
    parts = [split.photographs[k : k + ROWS] for k in range(0, len(split.photographs), ROWS)]
    places = [aside / f"{k:05d}" for k in range(len(parts))]
    there = sum(len(part) for part, at in zip(parts, places, strict=True) if finished(at))
    if there:
        print(f"msdd: prepare goes on after {there:,} photographs", file=sys.stderr)
    digests: dict[str, str] = {}
    pool = ThreadPoolExecutor(task.cpu_threads)
    total = len(split.photographs)
    try:
        with Progress("prepare train", total, "photographs", start=there) as progress:
            for place, part in zip(places, parts, strict=True):
                notes = finished(place) or write_shard(
                    task, place, part, pool, progress, split.done
                )
                settle(split, notes, task.data.max_bad_fraction)
                progress.update(split.done)
                digests |= notes.shards
    finally:
        pool.shutdown(cancel_futures=True)
    check_usable(split)
    split.count = len(split.made)
    return digests


def write_shard(
    task: Task,
    place: Path,
    part: list[Photograph],
    pool: ThreadPoolExecutor,
    progress: Progress,
    done: int,
) -> Notes:
    jobs = ([(one, task.data)] for one in part)
    made = (pair for [pair] in prefetch(attempt, jobs, pool, 4 * task.cpu_threads))
    return photograph_shards.write(place, shown(made, progress, done))


def shown(made: Iterator, progress: Progress, done: int) -> Iterator:
    for more, one in enumerate(made, 1):
        progress.update(done + more)
        yield one


def attempt(
    job: tuple[Photograph, Data],
) -> tuple[str, tuple[bytes, str] | PhotographError]:
    """A photograph's name with what is stored of it, or with the reason why that is nothing."""
    photograph, data = job
    try:
        return photograph.name, photograph_shards.stored(photograph, data)
    except PhotographError as error:
        return photograph.name, error


def settle(split: Split, notes: Notes, max_bad_fraction: float) -> None:
    split.digests |= notes.digests
    split.made |= dict.fromkeys(notes.digests, 1)
    split.refused |= {name: tuple(why) for name, why in notes.refused.items()}
    split.done += len(notes.digests) + len(notes.refused)
    check_unreadable(split, max_bad_fraction)


def gather(aside: Path, names: list[str], folder: Path) -> None:
    """Put finished shards into `folder` too; without a copy where the file system can."""
    folder.mkdir()
    for name in names:
        try:
            os.link(aside / name, folder / name)
        except OSError:
            shutil.copyfile(aside / name, folder / name)


def space(photographs: list[Photograph], data: Data, root: Path) -> int:
    """About how many bytes the photographs still take, from above; Parquet's rows count as 0."""
    most = 3 * data.store_side**2 if data.store_side else sys.maxsize
    there = sum(path.stat().st_size for path in shards(root).glob("*.bin"))
    return max(0, sum(min(size_of(one), most) for one in photographs) - there)


def size_of(photograph: Photograph) -> int:
    try:
        return photograph.size if photograph.archive else photograph.path.stat().st_size
    except OSError:  # is told when it is read
        return 0
