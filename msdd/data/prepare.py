"""The first stage: photographs become a folder of shuffled crops."""

import csv
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from msdd import files
from msdd.data import prepare_photographs
from msdd.data.crops import adm_crop, crops
from msdd.data.digests import Row, of_archives, of_files
from msdd.data.held_out import OWNERS
from msdd.data.image_file import PhotographError, decode
from msdd.data.photograph import Photograph
from msdd.data.photographs import divided, sources
from msdd.data.prefetch import prefetch
from msdd.data.remarks import tell_classes, tell_few, tell_left_out, tell_shared, tell_splits
from msdd.data.shards import ShardWriter
from msdd.data.split import CropJob, Split, check_usable, plan, settle
from msdd.errors import MsddError
from msdd.files import shown
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


def run(task: Task, root: Path = Path(".")) -> dict[str, int]:
    """Write `data/prepared`; returns how many photographs and crops there are.

    The folder appears as a whole, and the same photographs and parameters give the same bytes,
    whatever the number of threads. It holds the shards of `train` and `held_out`,
    `photographs.csv` (what each file gave), `manifest.json`, and `held_out_photographs.npy`: for
    each held-out crop the place of its photograph among the held-out rows of that table.
    Raises MsddError where the photographs do not do or another process is at it, OSError where the
    disk does not do.
    """
    place = layout.prepared()
    made = [place / name for name in ("manifest.json", "photographs.csv", OWNERS)]
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
    found = sources(task.data, root)
    archives = of_archives(found, root)
    photographs = divided(found, task.data)
    tell_splits(archives, task.data.photographs)
    if task.data.held_out:  # else every class may be on both sides by luck alone
        tell_classes(photographs)
    splits = planned(task.data, photographs)
    with files.atomic(root / layout.prepared()) as folder:
        folder.mkdir()
        check_space(folder, space(task, splits, root))
        done = {name: fill(task, folder / name, split, root) for name, split in splits.items()}
        check_unchanged(archives, of_archives(found, root))
        write_photographs(folder / "photographs.csv", done, archives, root)
        np.save(folder / OWNERS, done["held_out"].owners())
        manifest = describe(task, folder, done)
        files.write_json(folder / "manifest.json", manifest)
    prepare_photographs.forget(root)
    others = [name for source in found.values() for name in source.others]
    tell_left_out(task.data, done, others)
    tell_shared(manifest["in_both_splits"], len(done["held_out"].made))
    tell_few(done["held_out"])
    return manifest


def planned(data: Data, photographs: dict[str, list[Photograph]]) -> dict[str, Split]:
    """The splits before anything is made; no more centre crops than photographs."""
    wanted = {"train": data.train_crops, "held_out": data.held_out_crops}
    splits = {}
    for name, centred in CENTRED[data.crop].items():
        there = len(photographs[name])
        count = wanted[name] or there
        splits[name] = Split(photographs[name], min(count, there) if centred else count, centred)
    return splits


def fill(task: Task, folder: Path, split: Split, root: Path) -> Split:
    """Make one split, as crops or as photographs."""
    if stores_photographs(task.data, folder.name):
        return prepare_photographs.write_split(task, folder, split, root)
    return write_split(task, folder, split)


def stores_photographs(data: Data, split: str) -> bool:
    return data.store == "photographs" and split == "train"


def space(task: Task, splits: dict[str, Split], root: Path) -> int:
    """How many bytes will be written; of photographs about, and from above."""
    return sum(
        prepare_photographs.space(split.photographs, task.data, root)
        if stores_photographs(task.data, name)
        else split.count * 3 * task.data.resolution**2
        for name, split in splits.items()
    )


def check_unchanged(before: list[Row], after: list[Row]) -> None:
    for _, name, _ in set(before) ^ set(after):
        raise MsddError(f"{name} changed while it was read: run `msdd prepare` again")


def check_space(folder: Path, needed: int) -> None:
    """Hours of cropping should not end in a full disk that could be foreseen."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MsddError(
            f"what data.store and data.held_out_crops ask for takes {needed / 1e6:,.1f} MB in "
            f"{folder.parent}, where {free / 1e6:,.1f} MB are free"
        )


def write_split(task: Task, folder: Path, split: Split) -> Split:
    """Fill the shards of one split.

    What a refused photograph leaves open is shared among the others in a further round. As they
    have no second centre crop, a split of these begins anew without the refused ones, and is
    smaller.
    """
    write_crops(task, folder, split)
    while split.free:
        files.remove(folder)
        count = min(split.count, len(check_usable(split)))
        split = replace(split, count=count, done=0, made={}, digests={}, places={})
        write_crops(task, folder, split)
    return split


def write_crops(task: Task, folder: Path, split: Split) -> None:
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
    file = job.photograph.read()
    pixels, sha256 = decode(file, name, task.data.to_srgb), hashlib.sha256(file).hexdigest()
    if centred:
        return adm_crop(pixels, name, task.data), sha256
    return crops(pixels, (task.seed, "crop", name), job.start, job.stop, task.data), sha256


def write_photographs(path: Path, done: dict[str, Split], archives: list[Row], root: Path) -> None:
    """What each photograph gave; a table of its own, as there may be a million of them."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("split", "name", "crops", "sha256", "archive"))
        table.writerows((side, name, "", sha256, "") for side, name, sha256 in archives)
        for name, split in done.items():
            table.writerows((name, *row) for row in photographs_of(split, root))


def photographs_of(split: Split, root: Path) -> Iterator[tuple[str, int, str, str]]:
    """Name, number of crops, digest and archive of each, also of those that were not read.

    What was not read of an archive has no digest but the archive's.
    """
    unread = [one for one in split.photographs if one.name not in split.digests]
    files = [one for one in unread if not one.archive]
    digests = dict(zip(files, of_files([one.path for one in files], root), strict=True))
    for one in split.photographs:
        sha256 = one.version or split.digests.get(one.name) or digests.get(one, "")
        archive = os.path.relpath(one.archive, one.folder) if one.archive else ""
        yield shown(one.name), split.made.get(one.name, 0), sha256, shown(archive)


def describe(task: Task, folder: Path, done: dict[str, Split]) -> dict:
    """The manifest: how the crops were made, what was left out, and digests of the shards.

    `digest` is the SHA-256 of the lines that `sha256sum */*` prints in the folder.
    """
    shards = {
        shard.relative_to(folder).as_posix(): known(done, shard) or files.digest(shard)
        for shard in sorted(folder.glob("*/*.*"))
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


def known(done: dict[str, Split], shard: Path) -> str | None:
    return done[shard.parent.name].shards.get(shard.name)


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
