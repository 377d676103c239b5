"""One pass over images: its batches are dealt to processes, saved on the way, and added up."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.evaluate.checkpoint import Checkpoint, Checkpointer, Resumable
from msdd.evaluate.distributed import Team
from msdd.evaluate.sources import Batch, Source, deal
from msdd.pipeline import stop
from msdd.pipeline.progress import Progress


class Tally(Resumable, Protocol):
    """What a pass fills: an `Accumulator` of pairs, or the `SetSums` of a set.

    device:     where `compute` takes its tensors
    least_side: pixels a side that an image needs, and the metric that needs them
    """

    device: torch.device
    least_side: tuple[int, str]

    @property
    def compute(self) -> Callable[..., Any]:
        """Measures a batch and adds nothing yet: its ids, its names, and the rest of a `Batch`."""

    def add(self, measurement: Any) -> None:
        """Add what `compute` has measured."""

    def live_figures(self) -> dict[str, float]:
        """What is shown while it grows, by name."""


def measure_source(
    source: Source,
    tally: Tally,
    batch: int | None,
    label: str = "evaluate",
    team: Team | None = None,
    checkpoint: Checkpoint | None = None,
) -> bool:
    """Fill the tally with all images of the source; True in the process that has them all.

    Batches are the same ranges of places however many processes there are, and however often the
    work was stopped: so is the result. batch: see `sources.deal`.
    """
    team = team or Team()
    if checkpoint and team.rank == 0:
        checkpoint.resume(tally)
        if tally.ids:
            count = f"{len(tally.ids):,} of {len(source.names):,} images"
            print(f"{label}: resuming after {count}", file=sys.stderr)
    done = set(team.share(tally.ids))
    ranges = [part for part in deal(source, batch) if part[0] not in done]
    measure_ranges(source, tally, ranges[team.rank :: team.size], label, team, checkpoint)
    if team.rank:
        # From a GPU a tensor would arrive on that of the same number: of another process, or none.
        team.send({name: tensor.cpu() for name, tensor in tally.state().items()})
        return False
    for state in team.collect():
        tally.load(state)
    return True


def measure_ranges(
    source: Source,
    tally: Tally,
    ranges: list[range],
    label: str,
    team: Team,
    checkpoint: Checkpoint | None,
) -> None:
    """Measure these batches. Whatever stops that, the checkpoint has what was measured.

    When this process is asked to stop (`msdd.pipeline.stop`), raises Stopped, or MsddError where
    nothing is kept that another run could go on from.
    """
    before = len(tally.ids)
    total = before + sum(map(len, ranges))
    shown = label if team.size == 1 else f"{label} (process {team.rank + 1} of {team.size})"
    checkpointer = Checkpointer(checkpoint, team.rank, tally)
    progress = Progress(shown, total, start=before)
    with stop.requests() as asked, checkpointer, progress:
        for batches in source.batches(iter(ranges)):
            measurements = [measure_batch(tally, source.names, one) for one in batches]
            with deferred_interrupt():  # what is saved holds whole ranges
                for measurement in measurements:
                    tally.add(measurement)
            checkpointer.save_if_due()
            progress.update(len(tally.ids), **tally.live_figures())
            if len(tally.ids) < total and (why := asked()):
                after = f"after {len(tally.ids):,} images"
                if checkpoint is None:
                    lost = f"nothing is kept {after}; with --work DIR it would go on"
                    raise MsddError(f"{label}: stopped by {why}; {lost}")
                raise stop.Stopped(f"{label}: {why}; saved {after}")


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


def measure_batch(tally: Tally, names: list[str], batch: Batch) -> Any:
    """What a batch adds; MsddError for images that are too small."""
    ids, *parts = batch
    height, width = parts[0].shape[-2:]
    needed, metric = tally.least_side
    if min(height, width) < needed:
        raise MsddError(
            f"{names[ids[0]]} has {width} x {height} pixels: {metric} needs {needed} a side"
        )
    here = (part.to(tally.device) if isinstance(part, Tensor) else part for part in parts)
    return tally.compute(ids, [names[i] for i in ids], *here)
