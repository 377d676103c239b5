"""Evaluations by the command line: folders or a tokenizer, under some protocols, to a report."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from msdd.evaluate import references, statistics
from msdd.evaluate.evaluation import Source, measure, telling
from msdd.evaluate.figures import figures, jsonable, per_image
from msdd.evaluate.instruments import Instruments
from msdd.evaluate.metrics import to_uint8
from msdd.evaluate.processes import Team
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.sources import Cropped, Folders
from msdd.evaluate.statistics import Reference
from msdd.evaluate.store import Store
from msdd.evaluate.subject import Subject
from msdd.evaluate.tally import Features, Tally, sampled
from msdd.files import atomic
from msdd.fingerprint import closure_digest
from msdd.provenance import context

PROVENANCE = ("commit", "dirty", "versions", "device")  # what a repeated run has in common


@dataclass(frozen=True)
class Settings:
    """How an evaluation is run.

    work:      folder for the state and for pictures of the worst, median and best image
    reference: .npz file of statistics to compare with instead of the originals
    export:    .npz file to write those of the originals to
    """

    batch: int
    device: torch.device
    work: Path | None = None
    reference: Path | None = None
    export: Path | None = None


class Pass(NamedTuple):
    """Images that are measured at once, and the protocols that want them so."""

    name: str
    source: Source
    protocols: dict[str, Protocol]


def folders(
    originals: Path,
    reconstructions: Path,
    protocols: Mapping[str, Protocol],
    settings: Settings,
    team: Team,
) -> dict[str, object] | None:
    """Two folders of images of the same names: the report, in the first process."""
    about = {"originals": str(originals), "reconstructions": str(reconstructions)}
    halves = {name: protocol.for_files() for name, protocol in protocols.items()}
    passes = [Pass("files", Folders(originals, reconstructions), halves)]
    return report(passes, about, settings, team)


def tokenizer(
    subject: Subject,
    images: Path,
    protocols: Mapping[str, Protocol],
    settings: Settings,
    team: Team,
) -> dict[str, object] | None:
    """A tokenizer on a folder of images, cropped as each protocol says: one pass for each crop."""
    side = subject.resolution
    about = subject.about | {"images": str(images), "resolution": side}
    passes = [
        Pass(
            crop,
            Cropped(images, crop, side, subject.reconstruct, settings.device),
            {name: p for name, p in protocols.items() if p.crop == crop},
        )
        for crop in sorted({protocol.crop for protocol in protocols.values()})
    ]
    return report(passes, about, settings, team)


def report(
    passes: list[Pass], about: dict[str, object], settings: Settings, team: Team
) -> dict[str, object] | None:
    """Measure every pass; None but in the first process. Reproducible: holds no times."""
    everything = [protocol for part in passes for protocol in part.protocols.values()]
    if settings.export:
        references.check_one(everything)
    instruments = Instruments(everything, settings.device)
    entries, known = {}, {}
    for part in passes:
        tally, found = measured(part, about, instruments, settings, team)
        if team.rank == 0:
            entries |= {name: entry(p, tally, found) for name, p in part.protocols.items()}
            known |= found
            save_pictures(part, tally, settings)
    if team.rank:
        return None
    if settings.export:
        statistics.write(settings.export, *known.values())
    return {
        **about,
        "batch": settings.batch,
        "images": len(passes[0].source.names),
        "names": passes[0].source.names,
        "protocols": entries,
        "missing": instruments.missing,
        "reference": str(settings.reference) if settings.reference else "the originals",
        "provenance": {name: value for name, value in context().items() if name in PROVENANCE},
    }


def measured(
    part: Pass, about: dict[str, object], instruments: Instruments, settings: Settings, team: Team
) -> tuple[Tally, dict[Features, Reference]]:
    """The tally of a pass and the originals' statistics, both whole in the first process."""
    wanted, source = references.originals(part.protocols.values()), part.source
    known, names = {}, {}
    if team.rank == 0 and settings.reference:
        known = references.given(settings.reference, wanted, source.preparation)
    elif team.rank == 0:
        named = tuple(zip(source.names, source.paths, strict=True))
        names = references.identities(wanted, named, source.preparation)
        known = references.kept(names, sampled(part.protocols.values()))
    tally = Tally(part.protocols, instruments, team.share(set(known)))
    store = None
    if settings.work:
        store = Store(settings.work / part.name, key(part, about, settings))
    if measure(source, tally, settings.batch, f"evaluate {part.name}", team, store):
        for real in sorted(wanted - known.keys(), key=str):
            known[real] = references.taken(names[real], tally.sums[str(real)])
    return tally, known


def key(part: Pass, about: dict[str, object], settings: Settings) -> str:
    """Everything that decides a pass's tally; images by name, size and time of change."""
    parts = {
        "about": about,
        "protocols": {name: p.model_dump(mode="json") for name, p in part.protocols.items()},
        "batch": settings.batch,
        "device": str(settings.device.type),
        "images": [(str(path), *stamp(path)) for path in part.source.files()],
        "code": closure_digest("msdd.evaluate.run"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def entry(
    protocol: Protocol, tally: Tally, known: Mapping[Features, Reference]
) -> dict[str, object]:
    """What is told of a protocol: what it is, its figures, and those of each image."""
    found = figures(protocol, tally, known)
    return {
        "protocol": protocol.model_dump(mode="json", exclude_none=True),
        "figures": {name: jsonable(figure) for name, figure in found.items()},
        "per_image": {
            name: [value if np.isfinite(value) else None for value in values.tolist()]
            for name, values in per_image(protocol, tally).items()
        },
    }


def save_pictures(part: Pass, tally: Tally, settings: Settings) -> None:
    """The worst, the median and the best image, its original on the left, into the work folder."""
    if settings.work is None:
        return
    for word, batch in telling(part.source, tally, settings.batch):
        made = batch.reconstructions
        made = made if made.dtype == torch.uint8 else to_uint8(made)
        both = torch.cat([batch.originals[0].cpu(), made[0].cpu()], 2)
        with atomic(settings.work / f"{part.name}-{word}.png") as temporary:
            Image.fromarray(both.permute(1, 2, 0).numpy()).save(temporary, "PNG")
