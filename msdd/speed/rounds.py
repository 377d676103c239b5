"""The timing harness: systems take turns in one run, after each has passed the gate and warmed up.

Speeds that are compared come from the same minutes on the same machine. At each batch size, every
round times each system once in every region; every second round goes in reverse order. The first
system is timed twice a round: the difference of its two medians is noise.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, product

import numpy as np
import torch
from torch import Tensor

from msdd.device import enough_memory, seconds
from msdd.errors import MsddError
from msdd.fast.fidelity import RefusedError
from msdd.params.sections import Throughput
from msdd.pipeline.progress import Progress
from msdd.speed import gate
from msdd.speed.regions import Inputs, regions_of
from msdd.speed.systems import TimedSystem
from msdd.tokenizers.tokenizer import Tokenizer

OF_TORCH = ("plain", "fast", "compiled")
WARM_CALLS = 10  # at most, on a processor
WARM_SECONDS = {"cuda": 1.0, "cpu": 0.2}  # GPUs take time to reach their clock rate
LONG = 60.0  # seconds; a longer first call counts as a sample, since its warm-up is negligible
SAMPLE_SECONDS = 0.05  # least length of a sample, which makes as many calls as that takes


@dataclass
class TimingJob:
    """One variant of a system, in its precision, in one region at one batch size.

    how:     eager, folded or compiled.
    calls:   number of calls in one sample.
    memory:  peak bytes besides weights and inputs, see `gate.admit`; None on a processor.
    cold:    whether the first call, before the rounds, is a sample.
    samples: seconds of a call, one for each round.
    """

    system: str
    variant: str
    how: str
    precision: str
    region: str
    batch: int
    call: Callable[[], Tensor]
    calls: int = 1
    memory: int | None = None
    cold: bool = False
    samples: list[float] = field(default_factory=list)

    def warm_up(self, device: torch.device, first: float) -> None:
        """Call until times have settled, and set the number of calls that a sample needs.

        first: seconds of an earlier call, 0 for none; a long one on a processor is a sample.
        """
        on_cpu = device.type == "cpu"
        times = [first if on_cpu and first > LONG else seconds(self.call, device)]
        if on_cpu and times[0] > LONG:
            self.cold = True
            self.samples.append(times[0])
        while sum(times) < WARM_SECONDS[device.type] and not (on_cpu and len(times) >= WARM_CALLS):
            times.append(seconds(self.call, device))
        self.calls = math.ceil(SAMPLE_SECONDS / min(times))

    def time(self, device: torch.device) -> float:
        """Seconds of a call. At batch 1 this is latency: each call waits for the one before.

        A call right before is not counted, since other systems have emptied the caches.
        """
        if not self.cold:
            self.call()
        if self.batch == 1:
            return statistics.fmean(seconds(self.call, device) for _ in range(self.calls))
        return seconds(self.call, device, self.calls)

    def row(self) -> dict:
        """The job and its timings, ready for JSON: median, quartiles and extremes of seconds."""
        low, median, high = _quartiles(self.samples)
        return {
            "system": self.system,
            "variant": self.variant,
            "how": self.how,
            "precision": self.precision,
            "region": self.region,
            "batch": self.batch,
            "seconds": median,
            "seconds_low": low,
            "seconds_high": high,
            "seconds_least": min(self.samples),
            "seconds_most": max(self.samples),
            "images_per_second": self.batch / median,
            "samples": self.samples,
            "calls": self.calls,
            "memory_bytes": self.memory,
            "cold": self.cold,
        }


def measure(systems: Sequence[TimedSystem], settings: Throughput, device: torch.device) -> dict:
    """Time all systems as the settings say, one batch size after the other.

    Returns `rows`, one for each system, variant, region and batch size; `gates`, the findings of
    `gate.admit` for each system, variant and batch size; and `noise`, the largest relative
    difference of two medians of the same job (None if nothing was timed). Only one fast variant of
    each system is held at a time. Raises MsddError if a variant fails the gate.
    """
    rows, gates, noises = [], [], []
    steps = [
        1 + len(regions_of(system.plain, settings.regions)) * (1 + settings.repeats)
        for system, _ in timed(systems, settings.variants)
    ]
    total = sum(steps) * len(settings.batches)
    with torch.inference_mode(), Progress("throughput", total, "timings") as progress:
        tick = partial(_advance, progress, count(1))
        for batch in settings.batches:
            jobs = []
            for jobs_of_one, findings in warm_jobs(systems, settings, batch, device, tick):
                jobs += jobs_of_one
                gates.append(findings)
            noises += _noise(jobs, rounds(jobs, settings.repeats, device, tick))
            rows += [job.row() for job in jobs]
    return {"rows": rows, "gates": gates, "noise": max(noises, default=None)}


def warm_jobs(
    systems: Sequence[TimedSystem],
    settings: Throughput,
    batch: int,
    device: torch.device,
    tick: Callable[[], None],
) -> Iterator[tuple[list[TimingJob], dict]]:
    """Warm jobs for each variant of each system, one a region, with the findings of the gate.

    Systems of the same resolution get the same inputs. `tick` is called after every step. A variant
    by another runtime that is refused has no job, and a line in the findings; hours of timing of
    others go on.
    """
    sides = {system.plain.resolution for system in systems}
    inputs = {side: Inputs(side, batch, device) for side in sides}
    for system, variant in timed(systems, settings.variants):
        make = partial(_tokenizer, system, variant, batch)
        precision = _precision(variant, settings)
        where = f"throughput of {system.name}, {variant}, batch {batch}"
        try:
            with enough_memory(f"{where}: leave this one of throughput.batches out"):
                findings, regions = gate.admit(
                    system, variant, make, inputs[system.plain.resolution], precision
                )
        except RefusedError as error:
            if set(OF_TORCH).isdisjoint(settings.variants):
                raise
            named = {"system": system.name, "variant": variant, "batch": batch}
            yield [], named | {"refused": str(error)}
            continue
        tick()
        how, memory = getattr(regions.tokenizer, "how", "eager"), findings["memory_bytes"]
        jobs = []
        for region in regions_of(system.plain, settings.regions):
            call = regions.call(region)
            jobs.append(
                TimingJob(system.name, variant, how, precision, region, batch, call, memory=memory)
            )
            jobs[-1].warm_up(device, findings.get(f"{region}_first_seconds", 0.0))
            tick()
        yield jobs, findings


def timed(
    systems: Sequence[TimedSystem], variants: Sequence[str]
) -> Iterator[tuple[TimedSystem, str]]:
    """Each system with its variants: those of other runtimes are left out where it has none.

    Raises MsddError if nothing of a system is left.
    """
    for system in systems:
        own = [one for one in variants if one in OF_TORCH or system.runtime]
        if not own:
            raise MsddError(
                f"throughput of {system.name}: only one-step students on a processor have "
                f"{', '.join(variants)}; add plain or fast to the variants"
            )
        yield from product([system], own)


def _precision(variant: str, settings: Throughput) -> str:
    """`plain` is in fp32, and a runtime's is the end of its name, or fp32."""
    if variant in ("fast", "compiled"):
        return settings.precision
    return variant.partition("-")[2] or "fp32"


def _tokenizer(system: TimedSystem, variant: str, batch: int) -> Tokenizer:
    if variant == "plain":
        return system.plain
    if variant in OF_TORCH:
        return system.fast(batch, variant == "compiled")
    runtime, _, precision = variant.partition("-")
    return system.runtime(batch, runtime, precision or "fp32")


def rounds(
    jobs: Sequence[TimingJob], repeats: int, device: torch.device, tick: Callable[[], None]
) -> list[float]:
    """Time every job once a round, except a cold one in the round that its first call stands for.

    Returns the seconds of the first job's second timing in each round.
    """
    again = []
    for turn in range(repeats):
        again += [job.time(device) for job in jobs[:1]]
        for job in reversed(jobs) if turn % 2 else jobs:
            if len(job.samples) <= turn:
                job.samples.append(job.time(device))
            tick()
    return again


def _quartiles(samples: Sequence[float]) -> list[float]:
    return np.quantile(samples, (0.25, 0.5, 0.75)).tolist()


def _noise(jobs: Sequence[TimingJob], again: Sequence[float]) -> list[float]:
    """The relative difference of the first job's two medians, in a list; empty without jobs."""
    if not again:
        return []
    return [abs(statistics.median(again) / statistics.median(jobs[0].samples) - 1)]


def _advance(progress: Progress, steps: Iterator[int]) -> None:
    progress.update(next(steps))
