"""One pass over images: its batches are dealt to processes, saved on the way, and added up."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from msdd.errors import MsddError
from msdd.evaluate.accumulator import Measured, Tally
from msdd.evaluate.checkpoint import Saving, Store
from msdd.evaluate.distributed import Team
from msdd.evaluate.sources import Batch
from msdd.metrics.pixel import WINDOW
from msdd.pipeline.progress import Progress


class Source(Protocol):
    """Images by name, in batches of originals and reconstructions.

    paths:       the originals' files
    preparation: what is done to originals before their features are taken
    """

    names: list[str]
    paths: list[Path]
    preparation: str

    def files(self) -> list[Path]: ...
    def batches(self, ranges: Iterator[range]) -> Iterator[list[Batch]]: ...


def measure(
    source: Source,
    tally: Tally,
    batch: int,
    label: str = "evaluate",
    team: Team | None = None,
    store: Store | None = None,
) -> bool:
    """Fill the tally with all images of the source; True in the process that has them all.

    Batches are the same ranges of places however many processes there are, and however often the
    work was stopped: so is the result.
    """
    team = team or Team()
    if store and team.rank == 0:
        store.resume(tally)
        if tally.ids:
            count = f"{len(tally.ids):,} of {len(source.names):,} images"
            print(f"{label} goes on after {count}", file=sys.stderr)
    done = set(team.share(tally.ids))
    ranges = [part for part in split(len(source.names), batch) if part[0] not in done]
    take(source, tally, ranges[team.rank :: team.size], label, team, store)
    if team.rank:
        team.hand_in(tally.state())
        return False
    for state in team.collect():
        tally.load(state)
    return True


def split(count: int, batch: int) -> list[range]:
    """The places 0 to `count` in batches; the last may be short."""
    return [range(start, min(start + batch, count)) for start in range(0, count, batch)]


def take(
    source: Source,
    tally: Tally,
    ranges: list[range],
    label: str,
    team: Team,
    store: Store | None,
) -> None:
    """Measure these batches. Whatever stops that, the store has what was measured."""
    before = len(tally.ids)
    total = before + sum(map(len, ranges))
    shown = label if team.size == 1 else f"{label} (process {team.rank + 1} of {team.size})"
    saving = Saving(store, team.rank, tally)
    with saving, Progress(shown, total, start=before) as progress:
        for batches in source.batches(iter(ranges)):
            found = [measured(tally, source.names, one) for one in batches]
            with uninterrupted():  # a tally that is saved holds whole ranges
                for one in found:
                    tally.add(one)
            saving.now_and_then()
            progress.update(len(tally.ids), psnr=tally.last_psnr())


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block; where it was ignored, it is."""
    if threading.current_thread() is not threading.main_thread():  # it interrupts no other
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


def measured(tally: Tally, names: list[str], batch: Batch) -> Measured:
    """Of a batch, on the device of the instruments."""
    ids, *images = batch
    height, width = batch.originals.shape[-2:]
    if min(height, width) < WINDOW and any(column.kind == "ssim" for column in tally.columns):
        raise MsddError(
            f"{names[ids[0]]} has {width} x {height} pixels: SSIM needs {WINDOW} a side"
        )
    sides = (side.to(tally.instruments.device) for side in images)
    return tally.measured(ids, [names[i] for i in ids], *sides)
