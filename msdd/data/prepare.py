"""The first stage: photographs become a folder of shuffled crops."""

import csv
import hashlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from msdd import files
from msdd.data.crops import crops, shares
from msdd.data.image_file import PhotographError, decode, read_file
from msdd.data.photographs import Photograph, splits
from msdd.data.prefetch import prefetch
from msdd.data.shards import ShardWriter
from msdd.errors import MsddError
from msdd.pipeline import layout
from msdd.pipeline.lock import hold
from msdd.pipeline.progress import Progress
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task
from msdd.seeds import generator

JOB_BYTES = 16 * 2**20  # crops that one thread holds at a time


@dataclass(frozen=True, slots=True)
class CropJob:
    """Crops `start` to `stop` of a photograph, and their places in the shards."""

    photograph: Photograph
    start: int
    stop: int
    slots: np.ndarray


@dataclass
class Split:
    """What has become of one split so far; the dictionaries go by the name of the photograph."""

    photographs: list[Photograph]
    count: int
    free: list[np.ndarray]  # places that no crop has yet
    done: int = 0
    made: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # kind and reason

    def of_kind(self, kind: str) -> list[tuple[str, str]]:
        """Name and reason of the photographs refused as `unreadable` or `too_small`."""
        refused = self.refused.items()
        return sorted((name, reason) for name, (category, reason) in refused if category == kind)


def run(task: Task, root: Path = Path(".")) -> dict[str, int]:
    """Write `data/prepared`; returns how many photographs and crops there are.

    The folder appears as a whole, and the same photographs and parameters give the same bytes,
    whatever the number of threads. It holds the shards of `train` and `held_out`,
    `photographs.csv` (what each file gave) and `manifest.json`.
    Raises MsddError where the photographs do not do or another process is at it, OSError where the
    disk does not do.
    """
    place = layout.prepared()
    made = [place / "manifest.json", place / "photographs.csv"]
    with (
        hold(root / layout.checkpoint(place) / "lock"),
        recorded(task, place, made, root) as record,
    ):
        manifest = write(task, root)
        shards = manifest["shards"].items()
        record["made"] = {str(place / name): digest for name, digest in shards}
    return summary(manifest)


def write(task: Task, root: Path) -> dict:
    """Write the folder; returns its manifest."""
    photographs = splits(task.data, root)
    counts = {"train": task.data.train_crops, "held_out": task.data.held_out_crops}
    with files.atomic(root / layout.prepared()) as folder:
        folder.mkdir()
        check_space(folder, sum(counts.values()) * 3 * task.data.resolution**2)
        done = {
            name: write_split(task, folder / name, photographs[name], counts[name])
            for name in counts
        }
        write_photographs(folder / "photographs.csv", done)
        manifest = describe(task, folder, done)
        files.write_json(folder / "manifest.json", manifest)
    return manifest


def check_space(folder: Path, needed: int) -> None:
    """Hours of cropping should not end in a full disk that could be foreseen."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MsddError(
            f"data.train_crops and data.held_out_crops take {needed / 2**30:.2f} GiB in "
            f"{folder.parent}, where {free / 2**30:.2f} GiB are free"
        )


def write_split(task: Task, folder: Path, photographs: list[Photograph], count: int) -> Split:
    """Fill the shards of one split.

    A permutation gives every crop its place, so photographs are read in order, each once, and yet
    neighbours on disk come from everywhere. What a refused photograph leaves open is shared among
    the others in a further round.
    """
    order = generator(task.seed, "slots", folder.name).permutation(count)
    split = Split(photographs, count, free=[order])
    with (
        ShardWriter(folder, count, task.data.resolution) as writer,
        Progress(f"prepare {folder.name}", count, "crops") as progress,
    ):
        while split.free:
            write_round(task, split, writer, progress)
    return split


def write_round(task: Task, split: Split, writer: ShardWriter, progress: Progress) -> None:
    free, split.free = np.concatenate(split.free), []
    jobs = ([job] for job in plan(split, free, task.data.resolution))
    pool = ThreadPoolExecutor(task.cpu_threads)
    try:
        for [(job, made)] in prefetch(partial(attempt, task), jobs, pool, 2 * task.cpu_threads):
            settle(split, job, made, writer, task.data.max_bad_fraction)
            progress.update(split.done)
    finally:
        pool.shutdown(cancel_futures=True)


def plan(split: Split, free: np.ndarray, resolution: int) -> Iterator[CropJob]:
    """Jobs for all places that are free, balanced over the photographs not refused."""
    usable = [p for p in split.photographs if p.name not in split.refused]
    check_usable(split, usable)
    most = max(1, JOB_BYTES // (3 * resolution**2))
    wanted = shares([photograph.name for photograph in usable], split.count)
    taken = 0
    for photograph in usable:
        end = wanted[photograph.name]
        for start in range(split.made.get(photograph.name, 0), end, most):
            stop = min(start + most, end)
            yield CropJob(photograph, start, stop, free[taken : taken + stop - start])
            taken += stop - start


def attempt(task: Task, job: CropJob) -> tuple[CropJob, tuple[np.ndarray, str] | PhotographError]:
    """A job with what `make` makes of it, or with the reason why that is nothing."""
    try:
        return job, make(task, job)
    except PhotographError as error:
        return job, error


def make(task: Task, job: CropJob) -> tuple[np.ndarray, str]:
    """The crops of a job and the SHA-256 of the photograph's file; raises PhotographError."""
    data, name = task.data, job.photograph.name
    file = read_file(job.photograph.path, name)
    pixels, key = decode(file, name, data.to_srgb), (task.seed, "crop", name)
    settings = data.resolution, data.crop_side, data.min_contrast
    return crops(pixels, key, job.start, job.stop, *settings), hashlib.sha256(file).hexdigest()


def settle(
    split: Split,
    job: CropJob,
    made: tuple[np.ndarray, str] | PhotographError,
    writer: ShardWriter,
    max_bad_fraction: float,
) -> None:
    """Write the crops of a job, or note why there are none and give its places back."""
    if isinstance(made, PhotographError):
        refuse(split, job, made)
        check_unreadable(split, max_bad_fraction)
        return
    pixels, digest = made
    accept(split, job, digest)
    writer.write(job.slots, pixels)


def accept(split: Split, job: CropJob, digest: str) -> None:
    name = job.photograph.name
    if name in split.refused or split.digests.setdefault(name, digest) != digest:
        raise change_error(job)
    split.made[name] = job.stop
    split.done += len(job.slots)


def refuse(split: Split, job: CropJob, error: PhotographError) -> None:
    name = job.photograph.name
    if name in split.made:
        raise change_error(job)
    split.refused.setdefault(name, (error.kind, error.reason))  # the error itself holds the file
    split.free.append(job.slots)


def change_error(job: CropJob) -> MsddError:
    return MsddError(f"{job.photograph.path} changed while it was read: run `msdd prepare` again")


def check_unreadable(split: Split, max_bad_fraction: float) -> None:
    unreadable = split.of_kind("unreadable")
    tried = min(split.count, len(split.photographs))
    if len(unreadable) > max_bad_fraction * tried:
        first = "; ".join(f"{name}: {reason}" for name, reason in unreadable[:3])
        raise MsddError(
            f"data.max_bad_fraction: more than {max_bad_fraction:g} of {tried} images below "
            f"{split.photographs[0].folder} cannot be read, the first are {first}"
        )


def check_usable(split: Split, usable: list[Photograph]) -> None:
    if not usable:
        name, (_, reason) = min(split.refused.items())
        raise MsddError(
            f"no image below {split.photographs[0].folder} can be used, of "
            f"{len(split.photographs)}; the first is {name}: {reason}"
        )


def write_photographs(path: Path, done: dict[str, Split]) -> None:
    """What each photograph gave; a table of its own, as there may be a million of them."""
    rows = [
        (name, photograph, split.made[photograph], split.digests[photograph])
        for name, split in done.items()
        for photograph in sorted(split.made)
    ]
    with open(path, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("split", "name", "crops", "sha256"))
        table.writerows(rows)


def describe(task: Task, folder: Path, done: dict[str, Split]) -> dict:
    """The manifest: how the crops were made, what was left out, and digests of the shards.

    `digest` is the SHA-256 of the lines that `sha256sum */*.npy` prints in the folder.
    """
    shards = {
        shard.relative_to(folder).as_posix(): files.digest(shard)
        for shard in sorted(folder.glob("*/*.npy"))
    }
    lines = "".join(f"{digest}  {shard}\n" for shard, digest in shards.items())
    return {
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
        "shards": shards,
        "seed": task.seed,
        "data": task.data.model_dump(mode="json"),
        "resolution": task.data.resolution,
        "crops": {name: split.count for name, split in done.items()},
        "photographs": {name: len(split.made) for name, split in done.items()},
        "in_both_splits": in_both_splits(done["train"], done["held_out"]),
        "unreadable": left_out_files(done, "unreadable"),
        "too_small": left_out_files(done, "too_small"),
    }


def in_both_splits(train: Split, held_out: Split) -> list[str]:
    """Held-out photographs whose very bytes are also trained on: copies under another name."""
    seen = set(train.digests.values())
    return sorted(name for name, digest in held_out.digests.items() if digest in seen)


def left_out_files(done: dict[str, Split], kind: str) -> list[dict[str, str]]:
    return [
        {"split": split, "name": name, "reason": reason}
        for split, state in done.items()
        for name, reason in state.of_kind(kind)
    ]


def summary(manifest: dict) -> dict[str, int]:
    """The figures of a manifest, flat, as a stage reports them."""
    lists = "in_both_splits", "unreadable", "too_small"
    return {
        **{f"{name}_crops": count for name, count in manifest["crops"].items()},
        **{f"{name}_photographs": count for name, count in manifest["photographs"].items()},
        **{name: len(manifest[name]) for name in lists},
    }
