"""The harness: systems timed in turns in one run, after a gate and a warm-up of each.

What is compared was measured in the same minutes on the same machine: at each batch size, in every
round each system is timed once in every region, every second round in reverse order. The first is
timed twice a round; what its two medians differ by is noise.
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

from msdd.device import seconds
from msdd.params.sections import Throughput
from msdd.pipeline.progress import Progress
from msdd.speed import gate
from msdd.speed.regions import Inputs
from msdd.speed.systems import TimedSystem
from msdd.tokenizers.tokenizer import Tokenizer

WARM_CALLS = 10  # of a processor, unless these seconds are over before
WARM_SECONDS = {"cuda": 1.0, "cpu": 0.2}  # GPUs take time to reach their clock
LONG = 60.0  # seconds of a call that counts although it is the first: warm-up is lost in it
SAMPLE_SECONDS = 0.05  # least length of a sample, in as many calls as it takes


@dataclass
class TimingJob:
    """One variant of a system, in its precision, in one region at one batch size.

    how:    what the variant came to: eager, folded or compiled.
    calls:  in one sample.
    memory: bytes at most besides weights and inputs, encoding or decoding, where the device tells.
    cold:   the first call is a sample, before the rounds.
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
        """Call until times have settled; they tell how many calls a sample needs.

        first: seconds of a call before; a long one on a processor is a sample already.
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
        """Seconds of a call; of a single image its latency: the next one waits for it.

        One call before does not count: other systems have emptied the caches.
        """
        if not self.cold:
            self.call()
        if self.batch == 1:
            return statistics.fmean(seconds(self.call, device) for _ in range(self.calls))
        return seconds(self.call, device, self.calls)

    def row(self) -> dict:
        """Seconds of a call as median and quartiles over the rounds."""
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
            "images_per_second": self.batch / median,
            "samples": self.samples,
            "calls": self.calls,
            "memory_bytes": self.memory,
            "cold": self.cold,
        }


def measure(systems: Sequence[TimedSystem], settings: Throughput, device: torch.device) -> dict:
    """`rows`, one for each system, variant, region and batch size; `gates`, one for each system,
    variant and batch size; `noise`: the largest share by which two medians of the same differ.

    One batch size after the other, so that only one fast variant of each system is held at a time.
    Raises MsddError if it puts out something else than the plain one.
    """
    rows, gates, noises = [], [], []
    places = len(systems) * len(settings.variants) * len(settings.batches)
    total = places * (1 + len(settings.regions) * (1 + settings.repeats))
    with torch.inference_mode(), Progress("throughput", total, "timings") as progress:
        told = partial(_tell, progress, count(1))
        for batch in settings.batches:
            jobs = []
            for jobs_of_one, admitted in ready(systems, settings, batch, device, told):
                jobs += jobs_of_one
                gates.append(admitted)
            noises += _noise(jobs, rounds(jobs, settings.repeats, device, told))
            rows += [job.row() for job in jobs]
    return {"rows": rows, "gates": gates, "noise": max(noises, default=None)}


def ready(
    systems: Sequence[TimedSystem],
    settings: Throughput,
    batch: int,
    device: torch.device,
    told: Callable[[], None],
) -> Iterator[tuple[list[TimingJob], dict]]:
    """The jobs of every variant of every system, warm, and what the gate found of it.

    Systems of one resolution get the same inputs.
    """
    sides = {system.plain.resolution for system in systems}
    inputs = {side: Inputs(side, batch, device) for side in sides}
    for system, variant in product(systems, settings.variants):
        made = partial(_made, system, variant, batch)
        precision = "fp32" if variant == "plain" else settings.precision
        admitted, regions = gate.admit(
            system, variant, made, inputs[system.plain.resolution], precision
        )
        told()
        how, memory = getattr(regions.tokenizer, "how", "eager"), admitted["memory_bytes"]
        jobs = []
        for region in settings.regions:
            call = regions.call(region)
            jobs.append(
                TimingJob(system.name, variant, how, precision, region, batch, call, memory=memory)
            )
            jobs[-1].warm_up(device, admitted.get(f"{region}_first_seconds", 0.0))
            told()
        yield jobs, admitted


def _made(system: TimedSystem, variant: str, batch: int) -> Tokenizer:
    return system.plain if variant == "plain" else system.fast(batch, variant == "compiled")


def rounds(
    jobs: Sequence[TimingJob], repeats: int, device: torch.device, told: Callable[[], None]
) -> list[float]:
    """Time every job once a round, as far as it has no sample of that round; returns the second
    times of the first job."""
    again = []
    for turn in range(repeats):
        again += [job.time(device) for job in jobs[:1]]
        for job in reversed(jobs) if turn % 2 else jobs:
            if len(job.samples) <= turn:
                job.samples.append(job.time(device))
            told()
    return again


def _quartiles(samples: Sequence[float]) -> list[float]:
    return np.quantile(samples, (0.25, 0.5, 0.75)).tolist()


def _noise(jobs: Sequence[TimingJob], again: Sequence[float]) -> list[float]:
    """None or one share."""
    if not again:
        return []
    return [abs(statistics.median(again) / statistics.median(jobs[0].samples) - 1)]


def _tell(progress: Progress, steps: Iterator[int]) -> None:
    progress.update(next(steps))
