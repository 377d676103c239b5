"""The first stage: photographs become a folder of shuffled crops."""

import csv
import hashlib
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from msdd import files
from msdd.data.crops import centre_crop, crops
from msdd.data.digests import of_files, shown
from msdd.data.image_file import PhotographError, decode, read_file
from msdd.data.photographs import Photograph, of_other_kinds, other_files, splits
from msdd.data.prefetch import prefetch
from msdd.data.shards import ShardWriter
from msdd.data.split import CropJob, Split, check_usable, plan, settle
from msdd.errors import MsddError
from msdd.params.sections import Data
from msdd.pipeline import layout
from msdd.pipeline.lock import hold
from msdd.pipeline.progress import Progress
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task
from msdd.seeds import generator

# Whether a split has one centre crop of each photograph, or random ones.
CENTRED = {
    "random": {"train": False, "held_out": False},
    "adm": {"train": False, "held_out": True},
}

ONE_CROP = (
    "a single held-out crop gives no interval and no Fréchet distance, so evaluations will fail: "
    "hold more photographs out by data.held_out or data.held_out_fraction"
)


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
    counts = counted(task.data, photographs)
    with files.atomic(root / layout.prepared()) as folder:
        folder.mkdir()
        check_space(folder, sum(counts.values()) * 3 * task.data.resolution**2)
        done = {
            name: write_split(task, folder / name, Split(photographs[name], counts[name], centred))
            for name, centred in CENTRED[task.data.crop].items()
        }
        write_photographs(folder / "photographs.csv", done, root)
        manifest = describe(task, folder, done)
        files.write_json(folder / "manifest.json", manifest)
    tell_left_out(task.data, done, root)
    tell_shared(manifest["in_both_splits"], len(done["held_out"].made))
    if done["held_out"].count < 2:
        print(f"msdd: warning: {ONE_CROP}", file=sys.stderr)
    return manifest


def counted(data: Data, photographs: dict[str, list[Photograph]]) -> dict[str, int]:
    """How many crops each split gets; no more centre crops than photographs."""
    there = {name: len(listed) for name, listed in photographs.items()}
    wanted = {"train": data.train_crops, "held_out": data.held_out_crops}
    counts = {name: wanted[name] or there[name] for name in there}
    return {
        name: min(counts[name], there[name]) if centred else counts[name]
        for name, centred in CENTRED[data.crop].items()
    }


def check_space(folder: Path, needed: int) -> None:
    """Hours of cropping should not end in a full disk that could be foreseen."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MsddError(
            f"data.train_crops and data.held_out_crops take {needed / 2**30:.2f} GiB in "
            f"{folder.parent}, where {free / 2**30:.2f} GiB are free"
        )


def write_split(task: Task, folder: Path, split: Split) -> Split:
    """Fill the shards of one split.

    What a refused photograph leaves open is shared among the others in a further round. As they
    have no second centre crop, a split of these begins anew without the refused ones, and is
    smaller.
    """
    fill(task, folder, split)
    while split.free:
        files.remove(folder)
        count = min(split.count, len(check_usable(split)))
        split = replace(split, count=count, done=0, made={}, digests={})
        fill(task, folder, split)
    return split


def fill(task: Task, folder: Path, split: Split) -> None:
    """Crops from all photographs, until no place is free or no photograph has another crop.

    A permutation gives every crop its place, so photographs are read in order, each once, and yet
    neighbours on disk come from everywhere.
    """
    split.free = [generator(task.seed, "slots", folder.name).permutation(split.count)]
    check_usable(split)
    with (
        ShardWriter(folder, split.count, task.data.resolution) as writer,
        Progress(f"prepare {folder.name}", split.count, "crops") as progress,
    ):
        write_round(task, split, writer, progress)
        while split.free and not split.centred:
            write_round(task, split, writer, progress)


def write_round(task: Task, split: Split, writer: ShardWriter, progress: Progress) -> None:
    free, split.free = np.concatenate(split.free), []
    jobs = ([job] for job in plan(split, free, task.data.resolution))
    attempt_one = partial(attempt, task, split.centred)
    pool = ThreadPoolExecutor(task.cpu_threads)
    try:
        for [(job, made)] in prefetch(attempt_one, jobs, pool, 2 * task.cpu_threads):
            settle(split, job, made, writer, task.data.max_bad_fraction)
            progress.update(split.done)
    finally:
        pool.shutdown(cancel_futures=True)


def attempt(
    task: Task, centred: bool, job: CropJob
) -> tuple[CropJob, tuple[np.ndarray, str] | PhotographError]:
    """A job with what `make` makes of it, or with the reason why that is nothing."""
    try:
        return job, make(task, centred, job)
    except PhotographError as error:
        return job, error


def make(task: Task, centred: bool, job: CropJob) -> tuple[np.ndarray, str]:
    """The crops of a job and the SHA-256 of the photograph's file; raises PhotographError."""
    name = job.photograph.name
    file = read_file(job.photograph.path, name)
    pixels, sha256 = decode(file, name, task.data.to_srgb), hashlib.sha256(file).hexdigest()
    if centred:
        return centre_crop(pixels, name, task.data), sha256
    return crops(pixels, (task.seed, "crop", name), job.start, job.stop, task.data), sha256


def write_photographs(path: Path, done: dict[str, Split], root: Path) -> None:
    """What each photograph gave; a table of its own, as there may be a million of them."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("split", "name", "crops", "sha256"))
        for name, split in done.items():
            table.writerows((name, *row) for row in photographs_of(split, root))


def photographs_of(split: Split, root: Path) -> Iterator[tuple[str, int, str]]:
    """Name, number of crops and digest of each, also of those that were not read."""
    unread = [one for one in split.photographs if one.name not in split.digests]
    digests = dict(zip(unread, of_files([one.path for one in unread], root), strict=True))
    for one in split.photographs:
        sha256 = split.digests.get(one.name) or digests[one]
        yield shown(one), split.made.get(one.name, 0), sha256


def tell_left_out(data: Data, done: dict[str, Split], root: Path) -> None:
    """One line on what the set does not contain, if there is anything."""
    parts = [line for line in (refused_line(data, done), others_line(data, root)) if line]
    if parts:
        print(f"msdd: prepare left out {'; '.join(parts)}", file=sys.stderr)


def tell_shared(names: list[str], count: int) -> None:
    """One line on held-out photographs that are trained on as well, if there are any."""
    if names:
        others = " and others" if len(names) > 1 else ""
        told = f"{len(names)} of {count} held-out photographs are trained on, as the same bytes"
        where = f"{layout.prepared()}/manifest.json names them"
        print(f"msdd: warning: {told} ({names[0]!r}{others}): {where}", file=sys.stderr)


def refused_line(data: Data, done: dict[str, Split]) -> str:
    """How many photographs were refused, their share, and why."""
    small, unreadable = (
        sum(len(split.of_kind(kind)) for split in done.values())
        for kind in ("too_small", "unreadable")
    )
    total = sum(len(split.photographs) for split in done.values())
    if not small + unreadable:
        return ""
    hint = "" if data.enlarge else " (data.enlarge: true would enlarge them)"
    reasons = [f"{small} smaller than data.resolution {data.resolution}{hint}"] if small else []
    reasons += [f"{unreadable} unreadable"] if unreadable else []
    share = f"{small + unreadable} of {total} photographs ({(small + unreadable) / total:.1%})"
    return f"{share}: {', '.join(reasons)}; {layout.prepared()}/manifest.json names them"


def others_line(data: Data, root: Path) -> str:
    others = other_files(data, root)
    return of_other_kinds(others) if others else ""


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
