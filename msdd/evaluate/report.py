"""Evaluations by the command line: folders or a tokenizer, under some protocols, to a report."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from msdd.evaluate import compare, extremes, reference_statistics, references
from msdd.evaluate.accumulator import Tally
from msdd.evaluate.checkpoint import Store
from msdd.evaluate.columns import Features, sampled
from msdd.evaluate.distributed import Team
from msdd.evaluate.loop import Source, measure
from msdd.evaluate.named import Subject
from msdd.evaluate.networks import Instruments
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.evaluate.sources import Cropped, Folders
from msdd.evaluate.summary import figures, jsonable, per_image, without_kid
from msdd.pipeline.environment import context
from msdd.pipeline.fingerprint import closure_digest

PROVENANCE = ("commit", "dirty", "versions", "device")  # what a repeated run has in common


@dataclass(frozen=True)
class Settings:
    """How an evaluation is run.

    work:      folder for the state and for pictures of the worst, median and best image
    reference: .npz file of statistics to compare with instead of the originals
    export:    .npz file to write those of the originals to
    other:     report of another run, which must be of the same originals
    """

    batch: int
    device: torch.device
    work: Path | None = None
    reference: Path | None = None
    export: Path | None = None
    other: compare.Other | None = None


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
    return report(passes, list(protocols), about, settings, team)


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
    return report(passes, list(protocols), about, settings, team)


def report(
    passes: list[Pass],
    order: list[str],
    about: dict[str, object],
    settings: Settings,
    team: Team,
) -> dict[str, object] | None:
    """Measure every pass; None but in the first process. Reproducible: holds no times.

    order: names of the protocols, as the report has them
    """
    everything = [protocol for part in passes for protocol in part.protocols.values()]
    references.check_asked(everything, settings.reference, settings.export)
    found = {} if team.rank else opening(passes, order, about, settings)
    if settings.other and team.rank == 0:
        compare.check(found, settings.other)
    from_file = {} if team.rank else given(passes, settings.reference)
    instruments = Instruments(everything, settings.device)
    found["missing"], known = dict(instruments.missing), {}
    for part in passes:
        of_pass = from_file.get(part.name, {})
        tally, kept = measured(part, about, instruments, settings, team, of_pass)
        if team.rank == 0:
            add(found, part, tally, kept)
            known |= kept
    if settings.export and team.rank == 0:
        reference_statistics.write(settings.export, *known.values())
    return None if team.rank else found


def opening(
    passes: list[Pass], order: list[str], about: dict[str, object], settings: Settings
) -> dict[str, object]:
    """What a report says before anything is measured: of what it is, and by which rules."""
    source = passes[0].source
    by_name = {name: entry_of(p, part) for part in passes for name, p in part.protocols.items()}
    return {
        **about,
        "batch": settings.batch,
        "images": len(source.names),
        "names": source.names,
        "digest": reference_statistics.images_digest(named(source)),
        "protocols": {name: by_name[name] for name in order},
        "telling": {},
        "reference": str(settings.reference) if settings.reference else "the originals",
        "provenance": {name: value for name, value in context().items() if name in PROVENANCE},
    }


def given(passes: list[Pass], path: Path | None) -> dict[str, dict[Features, Reference]]:
    """By pass: the statistics of the file, if one is given."""
    if path is None:
        return {}
    needs = {part.name: references.originals(part.protocols.values()) for part in passes}
    return {
        part.name: references.given(path, needs[part.name], part.source.preparation)
        for part in passes
    }


def named(source: Source) -> tuple[tuple[str, Path], ...]:
    return tuple(zip(source.names, source.paths, strict=True))


def entry_of(protocol: Protocol, part: Pass) -> dict[str, object]:
    """What a protocol is, and what is done to originals before it sees them."""
    rules = protocol.model_dump(mode="json", exclude_none=True)
    return {"protocol": rules, "preparation": part.source.preparation}


def add(
    found: dict[str, dict], part: Pass, tally: Tally, known: Mapping[Features, Reference]
) -> None:
    """To a report what a pass has measured."""
    for name, protocol in part.protocols.items():
        found["protocols"][name] |= measured_entry(protocol, tally, known)
        if reason := without_kid(protocol, tally, known):
            found["missing"]["kid"] = reason
    found["telling"][part.name] = extremes.told(tally, part.source.names)


def measured(
    part: Pass,
    about: dict[str, object],
    instruments: Instruments,
    settings: Settings,
    team: Team,
    given: dict[Features, Reference],
) -> tuple[Tally, dict[Features, Reference]]:
    """The tally of a pass and the originals' statistics, both whole in the first process.

    given: those that come from a file
    """
    wanted, source = references.originals(part.protocols.values()), part.source
    known, names = dict(given), {}
    if team.rank == 0 and not settings.reference:
        names = references.identities(wanted, named(source), source.preparation)
        known = references.kept(names, sampled(part.protocols.values()))
    tally = Tally(part.protocols, instruments, team.share(set(known)))
    store = None
    if settings.work:
        store = Store(settings.work / part.name, key(part, about, settings))
    if measure(source, tally, settings.batch, f"evaluate {part.name}", team, store):
        for real in sorted(wanted - known.keys(), key=str):
            known[real] = references.taken(names[real], tally.sums[str(real)])
        if store:
            extremes.save(source, tally, settings.batch, store.folder, f"pictures of {part.name}")
    return tally, known


def key(part: Pass, about: dict[str, object], settings: Settings) -> str:
    """Everything that decides a pass's tally; images by name, size and time of change."""
    parts = {
        "about": about,
        "protocols": {name: p.model_dump(mode="json") for name, p in part.protocols.items()},
        "batch": settings.batch,
        "device": str(settings.device.type),
        "images": [(str(path), *stamp(path)) for path in part.source.files()],
        "code": closure_digest("msdd.evaluate.report"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def measured_entry(
    protocol: Protocol, tally: Tally, known: Mapping[Features, Reference]
) -> dict[str, object]:
    """The figures of a protocol, and those of each image; its pixels where they are weights."""
    found = figures(protocol, tally, known)
    entry = {
        "figures": {name: jsonable(figure) for name, figure in found.items()},
        "per_image": {
            name: [value if np.isfinite(value) else None for value in values.tolist()]
            for name, values in per_image(protocol, tally).items()
        },
    }
    if protocol.psnr and protocol.psnr.pool == "all":
        entry["pixels"] = (tally.sorted_values()["pixels"] // 3).tolist()
    return entry
