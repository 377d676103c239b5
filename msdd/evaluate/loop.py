"""One pass over images: its batches are dealt to processes, saved on the way, and added up."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from msdd.errors import MsddError
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.checkpoint import Checkpoint, Checkpointer
from msdd.evaluate.distributed import Team
from msdd.evaluate.measurer import Measurement
from msdd.evaluate.sources import Batch, Source, deal
from msdd.metrics.gaussian_ssim import RADIUS
from msdd.metrics.pixel import WINDOW
from msdd.metrics.psnr_hvs import SIDE
from msdd.pipeline import stop
from msdd.pipeline.progress import Progress

SMALLEST = {  # sides that columns need, in pixels, and what people call the columns
    "ssim": (WINDOW, "SSIM"),
    "gaussian_ssim": (RADIUS + 1, "SSIM Gaussian"),
    "psnr_hvs": (SIDE, "PSNR-HVS"),
}


def measure_source(
    source: Source,
    accumulator: Accumulator,
    batch: int | None,
    label: str = "evaluate",
    team: Team | None = None,
    checkpoint: Checkpoint | None = None,
) -> bool:
    """Fill the accumulator with all images of the source; True in the process that has them all.

    Batches are the same ranges of places however many processes there are, and however often the
    work was stopped: so is the result. batch: see `sources.deal`.
    """
    team = team or Team()
    if checkpoint and team.rank == 0:
        checkpoint.resume(accumulator)
        if accumulator.ids:
            count = f"{len(accumulator.ids):,} of {len(source.names):,} images"
            print(f"{label}: resuming after {count}", file=sys.stderr)
    done = set(team.share(accumulator.ids))
    ranges = [part for part in deal(source, batch) if part[0] not in done]
    measure_ranges(source, accumulator, ranges[team.rank :: team.size], label, team, checkpoint)
    if team.rank:
        team.send(accumulator.state())
        return False
    for state in team.collect():
        accumulator.load(state)
    return True


def measure_ranges(
    source: Source,
    accumulator: Accumulator,
    ranges: list[range],
    label: str,
    team: Team,
    checkpoint: Checkpoint | None,
) -> None:
    """Measure these batches. Whatever stops that, the checkpoint has what was measured.

    Raises Stopped when this process is asked to stop (`msdd.pipeline.stop`).
    """
    before = len(accumulator.ids)
    total = before + sum(map(len, ranges))
    shown = label if team.size == 1 else f"{label} (process {team.rank + 1} of {team.size})"
    checkpointer = Checkpointer(checkpoint, team.rank, accumulator)
    progress = Progress(shown, total, start=before)
    with stop.requests() as asked, checkpointer, progress, progress.alive():
        for batches in source.batches(iter(ranges)):
            measurements = [measure_batch(accumulator, source.names, one) for one in batches]
            with deferred_interrupt():  # what is saved holds whole ranges
                for measurement in measurements:
                    accumulator.add(measurement)
            checkpointer.save_if_due()
            progress.update(len(accumulator.ids), **accumulator.live_figures())
            if len(accumulator.ids) < total and (why := asked()):
                kept = "saved" if checkpoint else "nothing is kept"
                raise stop.Stopped(f"{label}: {why}; {kept} after {len(accumulator.ids):,} images")


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Ctrl-C waits for the end of the block; where it was ignored, it is."""
    elsewhere = threading.current_thread() is not threading.main_thread()  # interrupts no other
    if elsewhere or signal.getsignal(signal.SIGINT) is None:  # nor what Python has not set
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)


def measure_batch(accumulator: Accumulator, names: list[str], batch: Batch) -> Measurement:
    """What a batch adds, computed on the device of the networks."""
    ids, *parts = batch
    height, width = parts[0].shape[-2:]
    kinds = SMALLEST.keys() & {column.kind for column in accumulator.columns}
    needed, metric = max((SMALLEST[kind] for kind in kinds), default=(1, ""))
    if min(height, width) < needed:
        raise MsddError(
            f"{names[ids[0]]} has {width} x {height} pixels: {metric} needs {needed} a side"
        )
    device = accumulator.networks.device
    here = (part.to(device) if isinstance(part, Tensor) else part for part in parts)
    return accumulator.compute(ids, [names[i] for i in ids], *here)
