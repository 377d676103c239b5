"""What a params file costs: seconds and bytes on disk, by arithmetic or as recorded.

By arithmetic a job takes its FLOPs at the device's rate times an efficiency, of which a range is
stated, and its kernel launches on a GPU. A job that has run here on the same device with the same
networks, batch and precision takes what its record says, for as many images as it would now.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msdd.ceilings import HERE, Ceilings
from msdd.params.schema import Params
from msdd.pipeline import environment, layout, provenance
from msdd.pipeline.task import params_of
from msdd.speed import flops
from msdd.speed.work import Work

# Most and least of the rate of large products that whole networks reach. CPU: trainings of the demo
# reached 0.50 to 0.59 on one core. GPU: an assumption for wide networks in bf16, not measured here.
EFFICIENCY = {"cpu": (0.65, 0.35), "gpu": (0.5, 0.2)}
LAUNCH = (1e-6, 8e-6)  # seconds a kernel: in a CUDA graph, and one by one
START = (0.5, 6.0)  # seconds of a job before and after its record
NUMBER = 4  # bytes of a weight
# Params that change no seconds of an image.
FREE = {"images", "train_crops", "held_out_crops", "seed", "learning_rate", "min_lr_ratio", "betas"}
FREE |= {"warmup", "weight_decay", "gradient_clip", "ema_half_life", "log_every", "logit_mean"}
FREE |= {
    "checkpoint_every",
    "cond_drop_prob",
    "colour_jitter",
    "loss_weight",
    "discriminator_learning_rate",
}
CROPS = ("data.train_crops", "data.held_out_crops")
LENGTHS = {  # of stages, in images
    "prepare": CROPS,
    "latents": CROPS,
    "train": ("stage1.images",),
    "distil": ("distil.images",),
    "chain": ("distil.images",),
    "evaluate": ("evaluate.images",),
    "baseline": ("evaluate.images",),
}
RECORDED_START = 60  # most seconds between a record and Snakemake's benchmark of the same job

Span = tuple[float, float]  # least and most


@dataclass(frozen=True)
class Estimate:
    """One job: seconds by arithmetic, and as recorded; None where there is no record."""

    work: Work
    arithmetic: Span
    recorded: float | None

    @property
    def seconds(self) -> Span:
        return self.arithmetic if self.recorded is None else (self.recorded, self.recorded)


def arithmetic(work: Work, limits: Ceilings, kind: str) -> Span:
    """Least and most seconds of a job. kind: `cpu` or `gpu`."""
    spans = []
    for efficiency, launch, start, more in zip(
        EFFICIENCY[kind], LAUNCH, START, work.seconds, strict=True
    ):
        seconds = start + more
        if work.precision:
            seconds += work.images * work.flops / (efficiency * limits.rate(work.precision))
        if kind == "gpu":
            seconds += work.images / work.batch * work.passes * flops.launches(work.blocks) * launch
        spans.append(seconds)
    return spans[0], spans[1]


def recorded(work: Iterable[Work], params: Params, root: Path, device: str) -> dict[str, float]:
    """Seconds of the jobs that have run on `device`, by `Work.key`, for the images of now.

    A record counts if it and those of the jobs that it needs have the same params, but for lengths
    and others that change no seconds of an image.
    """
    found, same = {}, set()
    for one in work:
        path = root / layout.provenance(one.artefact)
        record = provenance.read(path) if path.exists() else None
        if record is None or record["device"] != device or record["stage"] != one.stage:
            continue
        then, now = record["params"], params_of(params, one.stage, **one.wildcards)
        longer = _longer(then, now, one.stage)
        if longer and _shape(then) == _shape(now) and same.issuperset(one.needs):
            same.add(one.key)
            found[one.key] = _seconds(record, one, root) * longer
    return found


def recorded_ceilings(params: Params, root: Path, device: str) -> Ceilings | None:
    """The rates of large products that trainings have measured on `device` when they were done.

    None without one in fp32; a rate in bf16 is None where there is none.
    """
    rates: dict[str, float] = {}
    for path in (root / layout.RECORDS / layout.RUNS).rglob("*.json"):
        record = provenance.read(path)
        kept = record["params"]
        if (record["device"], kept.get("cpu_threads")) == (device, params.cpu_threads):
            precision = kept.get("stage1.precision") or kept.get("distil.precision")
            if (speed := record.get("speed")) and precision:
                reached = speed["flops_per_second"] / speed["mfu"]
                rates[precision] = max(reached, rates.get(precision, 0.0))
    if "fp32" not in rates:
        return None
    return Ceilings(rates.get("bf16"), rates["fp32"], 0.0, "measured by trainings that ran here")


def _shape(tracked: dict[str, Any]) -> dict[str, Any]:
    """Without what changes no seconds, and without rows, which are merged into their sections."""
    merged = ("models.", "students.")
    return {
        key: value
        for key, value in tracked.items()
        if key.rpartition(".")[2] not in FREE and not key.startswith(merged)
    }


def _longer(then: dict[str, Any], now: dict[str, Any], stage: str) -> float | None:
    """The images of now over those of the record; None where the params do not say how many."""
    before, after = ([values.get(key) for key in LENGTHS.get(stage, ())] for values in (then, now))
    if before == after:
        return 1.0
    return sum(after) / sum(before) if all(before) and all(after) else None


def _seconds(record: dict, work: Work, root: Path) -> float:
    """Seconds of a recorded job, with the start of its process if Snakemake timed the same run."""
    inside = record["seconds"]
    path = root / benchmark(work)
    if record["engine"] != "snakemake" or not path.exists():
        return inside
    try:
        with open(path, encoding="utf-8", newline="") as file:
            outside = float(list(csv.DictReader(file, delimiter="\t"))[-1]["s"])
    except (IndexError, KeyError, ValueError, TypeError, csv.Error):  # a power cut has damaged it
        return inside
    return outside if inside <= outside <= inside + RECORDED_START else inside


def benchmark(work: Work) -> Path:
    """The file in which Snakemake notes the seconds of a job; the rules name the same."""
    folder, name = Path("benchmarks") / work.stage, work.name or work.stage
    inside = [part for part in work.artefact.parts[1:] if part != "eval"]
    if work.stage in ("distil", "assemble", "chain", "evaluate"):
        return (folder / Path(*inside)).with_suffix(".tsv")
    return folder / f"{name}.tsv"


def wall(jobs: list[Estimate], slots: int) -> Span:
    """Least and most seconds until all are done, `slots` at once.

    No schedule is faster than the longest path or a full machine; no schedule that never idles
    needlessly is slower than Graham's bound (1969).
    """
    ends: dict[str, Span] = {}
    for job in jobs:
        before = [ends[key] for key in job.work.needs if key in ends]
        ends[job.work.key] = tuple(
            max((end[i] for end in before), default=0.0) + job.seconds[i] for i in range(2)
        )
    path = [max((end[i] for end in ends.values()), default=0.0) for i in range(2)]
    least, most = total(job.seconds for job in jobs)
    return max(least / slots, path[0]), most / slots + path[1] * (1 - 1 / slots)


def total(spans: Iterable[Span]) -> Span:
    """The sum of several spans."""
    spans = list(spans)
    return sum(span[0] for span in spans), sum(span[1] for span in spans)


def document(jobs: list[Estimate], slots: int) -> dict[str, Any]:
    """Everything, ready for JSON: seconds as [least, most], sizes in bytes."""
    order = dict.fromkeys(job.work.stage for job in jobs)
    stored, checkpoints = disk([job.work for job in jobs], slots)
    return {
        "jobs": len(jobs),
        "stages": [_stage(name, [j for j in jobs if j.work.stage == name]) for name in order],
        "seconds": list(total(job.seconds for job in jobs)),
        "wall_seconds": list(wall(jobs, slots)),
        "at_once": slots,
        "disk_bytes": stored,
        "checkpoint_bytes": checkpoints,
    }


def disk(jobs: Iterable[Work], slots: int) -> tuple[int, int]:
    """Bytes that jobs leave, and those of the largest checkpoints while `slots` run at once."""
    jobs = list(jobs)
    largest = sorted((job.state for job in jobs), reverse=True)[:slots]
    return sum(job.stored + NUMBER * job.numbers for job in jobs), NUMBER * sum(largest)


def _stage(name: str, jobs: list[Estimate]) -> dict[str, Any]:
    """One stage. `by_arithmetic` is of those of its jobs that have a record."""
    known = [job for job in jobs if job.recorded is not None]
    return {
        "stage": name,
        "jobs": len(jobs),
        "seconds": list(total(job.seconds for job in jobs)),
        "recorded_jobs": len(known),
        "recorded_seconds": sum(job.recorded for job in known),
        "by_arithmetic": list(total(job.arithmetic for job in known)),
    }


def kind_of(device: str) -> str:
    """`gpu` or `cpu`, for a name of `msdd.ceilings`; `this` is what computes here."""
    if device != HERE:
        return "gpu"
    return "gpu" if environment.gpu() else "cpu"
