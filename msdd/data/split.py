"""One split while it is prepared: which crops are wanted of whom, made, and refused."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from msdd.data.crops import shares
from msdd.data.image_file import PhotographError
from msdd.data.photograph import Photograph
from msdd.data.shards import ShardWriter
from msdd.errors import MsddError
from msdd.files import shown

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
    """What has become of one split so far; the dictionaries go by the name of the photograph.

    centred: one centre crop of each photograph; otherwise random ones, as many as are wanted.
    """

    photographs: list[Photograph]
    count: int
    centred: bool
    free: list[np.ndarray] = field(default_factory=list)  # places that no crop has yet
    done: int = 0
    made: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)  # kind and reason
    shards: dict[str, str] = field(default_factory=dict)  # digests of files that are known already
    places: dict[str, list[np.ndarray]] = field(default_factory=dict)  # of the crops made

    def of_kind(self, kind: str) -> list[tuple[str, str]]:
        """Name and reason of the photographs refused as `unreadable` or `too_small`."""
        refused = self.refused.items()
        return sorted((name, reason) for name, (category, reason) in refused if category == kind)

    def owners(self) -> np.ndarray:
        """The index in `photographs` of the one that each crop is cut from, int32 (count,)."""
        owners = np.full(self.count, -1, np.int32)
        for k, photograph in enumerate(self.photographs):
            for slots in self.places.get(photograph.name, []):
                owners[slots] = k
        return owners


def plan(split: Split, free: np.ndarray, resolution: int) -> Iterator[CropJob]:
    """Jobs for all places that are free, balanced over the photographs not refused."""
    usable = check_usable(split)
    most = max(1, JOB_BYTES // (3 * resolution**2))
    wanted = shares([photograph.name for photograph in usable], split.count)
    taken = 0
    for photograph in usable:
        end = wanted[photograph.name]
        for start in range(split.made.get(photograph.name, 0), end, most):
            stop = min(start + most, end)
            yield CropJob(photograph, start, stop, free[taken : taken + stop - start])
            taken += stop - start


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
        if made.kind == "unreadable":
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
    split.places.setdefault(name, []).append(job.slots)
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
    unreadable = sum(kind == "unreadable" for kind, _ in split.refused.values())
    tried = min(split.count, len(split.photographs))
    if unreadable > max_bad_fraction * tried:
        refused = split.of_kind("unreadable")[:3]
        first = "; ".join(f"{shown(name)}: {reason}" for name, reason in refused)
        raise MsddError(
            f"data.max_bad_fraction: more than {max_bad_fraction:g} of {tried} images in "
            f"{split.photographs[0].place} cannot be read, the first are {first}"
        )


def check_usable(split: Split) -> list[Photograph]:
    """The photographs that are not refused; MsddError for none."""
    usable = [p for p in split.photographs if p.name not in split.refused]
    if not usable:
        name, (_, reason) = min(split.refused.items())
        raise MsddError(
            f"no image in {split.photographs[0].place} can be used, of "
            f"{len(split.photographs)}; the first is {shown(name)}: {reason}"
        )
    return usable
