"""One pass over images: its batches are dealt to processes, saved on the way, and added up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from msdd.errors import MsddError
from msdd.evaluate.metrics import WINDOW
from msdd.evaluate.processes import Team
from msdd.evaluate.sources import Batch
from msdd.evaluate.store import Store
from msdd.evaluate.tally import Tally
from msdd.progress import Progress

SAVE_EVERY = 4096  # images of a process between two saved states


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
    work was stopped: so is the result. MsddError for fewer than 2 images.
    """
    if len(source.names) < 2:
        raise MsddError(f"an evaluation needs at least 2 images, not {len(source.names)}")
    team = team or Team()
    if store and team.rank == 0:
        store.resume(tally)
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
    """Measure these batches."""
    before, saved = len(tally.ids), len(tally.ids)
    total = before + sum(map(len, ranges))
    shown = label if team.size == 1 else f"{label} (process {team.rank + 1} of {team.size})"
    with Progress(shown, total, start=before) as progress:
        for batches in source.batches(iter(ranges)):
            for one in batches:
                update(tally, source.names, one)
            if store and len(tally.ids) - saved >= SAVE_EVERY:
                store.save(team.rank, tally)
                saved = len(tally.ids)
            progress.update(len(tally.ids), psnr=tally.last_psnr())
    if store and len(tally.ids) > saved:
        store.save(team.rank, tally)


def update(tally: Tally, names: list[str], batch: Batch) -> None:
    """Measure a batch on the device of the instruments."""
    ids, *images = batch
    height, width = batch.originals.shape[-2:]
    if min(height, width) < WINDOW:
        raise MsddError(
            f"{names[ids[0]]} has {width} x {height} pixels: SSIM needs {WINDOW} a side"
        )
    sides = (side.to(tally.instruments.device) for side in images)
    tally.update(ids, [names[i] for i in ids], *sides)


def telling(source: Source, tally: Tally, batch: int) -> Iterator[tuple[str, Batch]]:
    """The `worst`, the `median` and the `best` image by squared error, each as a batch of one.

    They are reconstructed again, in the batches in which they were measured.
    """
    order = tally.sorted_values()[tally.errors].argsort(descending=True, stable=True)
    places = {"worst": order[0], "median": order[len(order) // 2], "best": order[-1]}
    ranges = split(len(source.names), batch)
    for word, place in places.items():
        i = place.item()
        (batches,) = source.batches(iter([ranges[i // batch]]))
        ids, originals, made = next(one for one in batches if i in one.ids)
        row = slice(ids.index(i), ids.index(i) + 1)
        yield word, Batch([i], originals[row], made[row])
