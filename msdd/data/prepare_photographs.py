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
from msdd.data.image_file import PhotographError, readers
from msdd.data.photograph import Photograph
from msdd.data.photograph_shards import ROWS, Notes, finished
from msdd.data.prefetch import prefetch
from msdd.data.split import Split, check_unreadable, check_usable
from msdd.params.sections import Data
from msdd.pipeline import layout
from msdd.pipeline.lock import hold, wait
from msdd.pipeline.progress import Progress
from msdd.pipeline.stages import fingerprint
from msdd.pipeline.task import Task


def write_split(task: Task, folder: Path, split: Split, root: Path) -> Split:
    """Fill `folder` with the photographs of a split, from shards that are there already if any.

    `count` becomes the number that is stored.
    """
    aside, _ = begin(task, root)
    check_usable(split)
    split.shards = write_shards(task, split, aside, shards_of(split.photographs), "prepare train")
    check_usable(split)
    split.count = len(split.made)
    gather(aside, sorted(split.shards), folder)
    return split


def write_part(task: Task, split: Split, aside: Path) -> dict[str, str]:
    """Make the shards of one of several jobs, as many for each; returns the digests of files."""
    check_usable(split)
    part, jobs = task.wildcards["part"], task.params["prepare_jobs"]
    wanted = shards_of(split.photographs)
    own = wanted[len(wanted) * part // jobs : len(wanted) * (part + 1) // jobs]
    return write_shards(task, split, aside, own, f"prepare train, part {part}")


def shards_of(photographs: list[Photograph]) -> list[tuple[str, list[Photograph]]]:
    """The name of each shard, and the photographs that it is made of."""
    starts = range(0, len(photographs), ROWS)
    return [(f"{k:05d}", photographs[at : at + ROWS]) for k, at in enumerate(starts)]


def shards(root: Path) -> Path:
    """Where shards are until the whole is made."""
    return root / layout.checkpoint(layout.prepared()) / "shards"


def forget(root: Path) -> None:
    files.remove(shards(root))


def begin(task: Task, root: Path) -> tuple[Path, str]:
    """The folder for shards of these photographs, params and code, and the photographs' digest.

    Shards of others are removed. A job that is still at work on those cannot mix them with these.
    """
    photographs, code = of_rows(present(task.data, root)), fingerprint("prepare")
    data = task.data.model_dump_json(exclude={"max_bad_fraction"})  # what is refused is no less so
    key = hashlib.sha256(f"{data} {code} {photographs} {readers()}".encode())
    own, lock = shards(root) / key.hexdigest()[:16], shards(root) / "lock"
    with wait(lock):
        others = [path for path in shards(root).iterdir() if path not in (own, lock)]
        if others:
            told = "msdd: params, code or photographs have changed; preparing afresh"
            print(told, file=sys.stderr)
        for path in others:
            files.remove(path)
        own.mkdir(exist_ok=True)
    return own, photographs


def write_shards(
    task: Task,
    split: Split,
    aside: Path,
    wanted: list[tuple[str, list[Photograph]]],
    label: str,
) -> dict[str, str]:
    """Make those of the wanted shards that are not in `aside` yet; returns digests of all files.

    The split learns what has become of each photograph.
    """
    total = sum(len(part) for _, part in wanted)
    there = sum(len(part) for name, part in wanted if finished(aside / name))
    if 0 < there < total:
        print(f"msdd: {label} goes on after {there:,} photographs", file=sys.stderr)
    digests: dict[str, str] = {}
    pool = ThreadPoolExecutor(task.cpu_threads)
    try:
        with Progress(label, total, "photographs", start=there) as progress:
            for name, part in wanted:
                notes = finished(aside / name) or write_shard(
                    task, aside / name, part, pool, progress, split.done
                )
                settle(split, notes, task.data.max_bad_fraction)
                progress.update(split.done)
                digests |= notes.shards
    finally:
        pool.shutdown(cancel_futures=True)
    return digests


def write_shard(
    task: Task,
    place: Path,
    part: list[Photograph],
    pool: ThreadPoolExecutor,
    progress: Progress,
    done: int,
) -> Notes:
    """Make a shard that no other process is at, and that none has made in the meantime."""
    jobs = ([(one, task.data)] for one in part)
    with hold(place.with_suffix(".lock")):
        made = (pair for [pair] in prefetch(attempt, jobs, pool, 4 * task.cpu_threads))
        return finished(place) or photograph_shards.write(place, shown(made, progress, done))


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
    there = sum(path.stat().st_size for path in shards(root).glob("*/*.bin"))
    return max(0, sum(min(size_of(one), most) for one in photographs) - there)


def size_of(photograph: Photograph) -> int:
    try:
        stored = photograph.archive or photograph.version
        return max(0, photograph.size) if stored else photograph.path.stat().st_size
    except OSError:  # is told when it is read
        return 0
