"""The report of an evaluation: every pass measured, and the metrics of every protocol.

A report is reproducible: it holds no times. Its form is the same whatever was evaluated:

    what was evaluated (`decode`, or `tokenizer`, or `originals` and `reconstructions`, ...)
    images, names, digest   of the set
    batch, reference
    not_measured            metrics that could not be, each with the reason; "METRIC of PROTOCOL"
                            where another protocol has the metric, or another reason
    protocol                the one that tables show
    protocols.NAME          protocol (its rules), preparation, levels (before its networks, where
                            they have changed), metrics, per_image; images_with (how many have a
                            class, text or faces), codes, latents, faces (networks) where they
                            are measured
    extremes.PASS           the worst, the median and the best image
"""

import hashlib
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from msdd.errors import MsddError
from msdd.evaluate import extremes, loop
from msdd.evaluate import reference_statistics as statistics
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.checkpoint import Checkpoint
from msdd.evaluate.columns import Features, all_pairs, features_to_sample
from msdd.evaluate.distances import without
from msdd.evaluate.distributed import Team
from msdd.evaluate.name_tables import read_table
from msdd.evaluate.networks import Networks
from msdd.evaluate.passes import Evaluation, Pass
from msdd.evaluate.protocol import OF_PROTOCOL, Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.evaluate.sources import Source, deal, named_paths
from msdd.evaluate.summary import (
    about_faces,
    about_latents,
    images_with,
    is_undefined,
    jsonable,
    metrics,
    per_image,
    without_images,
    without_latents,
)
from msdd.files import shown
from msdd.metrics.gaussian_ssim import SMALLEST
from msdd.pipeline.progress import busy
from msdd.weights.pretrained import identity
from msdd.weights.representations import REPRESENTATIONS, levels_of

UNDEFINED = {
    None: "it is not a number (NaN) on",
    "ms_ssim": f"its five scales need sides of {SMALLEST} px, which are shorter in",
}


@dataclass(frozen=True)
class Settings:
    """How an evaluation is run.

    batch:     images at once; None: see `sources.deal`
    work:      folder for the state
    pictures:  whether pictures of the worst, median and best image are kept there too
    cache:     whether statistics of the originals are taken from earlier runs and kept for later
               ones. What the pipeline makes depends on declared inputs alone, so there they are not
    reference: .npz file of statistics to compare with instead of the originals
    skip:      leave out metrics whose weights cannot be had, in place of MsddError
    """

    batch: int | None
    device: torch.device
    work: Path | None = None
    pictures: bool = False
    cache: bool = True
    reference: Path | None = None
    skip: bool = False


def opening(evaluation: Evaluation, settings: Settings) -> dict[str, object]:
    """What a report says before anything is measured: of what it is, and by which rules."""
    source = evaluation.passes[0].source
    entries = {
        name: entry_of(p, part) for part in evaluation.passes for name, p in part.protocols.items()
    }
    return {
        **evaluation.about,
        "batch": settings.batch or max(map(len, deal(source, None))),
        "images": len(source.names),
        "names": source.names,
        "digest": digest_of(source),
        **({"photographs": source.photographs} if source.photographs else {}),
        "protocol": evaluation.order[0],
        "protocols": {name: entries[name] for name in evaluation.order},
        "extremes": {},
        "not_measured": {},
        "reference": str(settings.reference) if settings.reference else "the originals",
    }


def digest_of(source: Source) -> str:
    with busy(f"reading the {len(source.names):,} originals, for their digest"):
        return source.digest()


def entry_of(protocol: Protocol, part: Pass) -> dict[str, object]:
    """The rules of a protocol, and what is done to originals before it sees them."""
    rules = protocol.model_dump(mode="json", exclude_none=True, exclude={"sources"})
    levels = levels_of(made.network for _, made in all_pairs(protocol))
    return {"protocol": rules, "preparation": part.source.preparation, "levels": levels}


def measure_passes(
    evaluation: Evaluation, report: dict[str, object], settings: Settings, team: Team
) -> list[Reference]:
    """Measure every pass; in the first process, complete the `report` that `opening` began.

    Returns the originals' statistics as far as they stand by themselves, which
    `statistics.write` exports; none in other processes.
    """
    given = {} if team.rank else read_references(evaluation, settings.reference)
    with busy("reading the weights of the networks that measure"):
        networks, known = Networks(evaluation.protocols, settings.device, settings.skip), {}
    if team.rank == 0:
        announce(evaluation.passes)
        report["not_measured"] |= networks.missing
    for part in measurable(evaluation.passes, networks):
        references = given.get(part.name, {})
        accumulator = measure_pass(part, evaluation, networks, settings, team, references)
        if team.rank == 0:
            with busy(f"{part.name}: Fréchet distances and intervals"):
                add(report, part, accumulator, references)
            known |= references
    if team.rank == 0:
        shorten_reasons(report)
        check_measured(report)
    return list(known.values())


def check_measured(report: Mapping[str, dict]) -> None:
    """MsddError if no metric of any protocol could be measured."""
    if not any(entry["metrics"] for entry in report["protocols"].values()):
        reasons = report["not_measured"].items()
        lines = "; ".join(f"{name}: {why}" for name, why in reasons)
        raise MsddError(f"nothing could be measured of these images: {lines}")


def measurable(passes: Sequence[Pass], networks: Networks) -> list[Pass]:
    """The passes with what can be measured; MsddError if there is nothing."""
    parts = [
        part._replace(protocols={n: networks.measurable(p) for n, p in part.protocols.items()})
        for part in passes
    ]
    if not any(protocol.measures for part in parts for protocol in part.protocols.values()):
        reasons = "; ".join(dict.fromkeys(networks.missing.values()))
        raise MsddError(f"without the weights that are missing, no metric is left: {reasons}")
    return parts


def announce(passes: Sequence[Pass]) -> None:
    """Say what the passes are, if there are several."""
    if len(passes) > 1:
        each = "; ".join(f"{part.name} for {', '.join(part.protocols)}" for part in passes)
        print(f"{len(passes)} passes over the images, one for each crop: {each}", file=sys.stderr)


def read_references(
    evaluation: Evaluation, path: Path | None
) -> dict[str, dict[Features, Reference]]:
    """The reference statistics in the file at `path`, by pass; empty without a file."""
    if path is None:
        return {}
    given = {
        part.name: statistics.read_given(
            path,
            statistics.features_of_originals(part.protocols.values()),
            part.source.preparation,
        )
        for part in evaluation.passes
    }
    for part in evaluation.passes:
        statistics.tell_mix_up(path, given[part.name], len(part.source.names))
    return given


def measure_pass(
    part: Pass,
    evaluation: Evaluation,
    networks: Networks,
    settings: Settings,
    team: Team,
    references: dict[Features, Reference],
) -> Accumulator:
    """The accumulator of a pass, whole in the first process.

    references: the originals' statistics that come from a file; the first process adds those of the
    cache, and those that it puts there
    """
    caching = settings.cache and not settings.reference and team.rank == 0
    names = identities(part) if caching else {}
    with busy(f"{part.name}: reading statistics of the originals"):
        sampled = features_to_sample(part.protocols.values())
        references |= statistics.cached_statistics(names, sampled)
    accumulator = Accumulator(part.protocols, networks, team.share(set(references)))
    checkpoint = None
    if settings.work:
        checkpoint = Checkpoint(settings.work / part.name, state_key(part, evaluation, settings))
    if loop.measure_source(part.source, accumulator, settings.batch, part.label, team, checkpoint):
        for real in new_of(accumulator, names.keys() - references.keys()):
            references[real] = statistics.cache_statistics(names[real], accumulator.sums[str(real)])
        if settings.pictures:
            extremes.save(part, accumulator, settings.batch, checkpoint.folder)
    return accumulator


def new_of(accumulator: Accumulator, wanted: Collection[Features]) -> list[Features]:
    """Those that were seen, in their order: small images have no patches."""
    return sorted((one for one in wanted if str(one) in accumulator.sums), key=str)


def identities(part: Pass) -> dict[Features, statistics.Identity]:
    """What decides the originals' statistics."""
    wanted = statistics.features_of_originals(part.protocols.values())
    return statistics.identities(wanted, named_paths(part.source), part.source.preparation)


def state_key(part: Pass, evaluation: Evaluation, settings: Settings) -> str:
    """A digest of everything that decides what a pass accumulates."""
    networks = {made.network for p in part.protocols.values() for _, made in all_pairs(p)}
    parts = {
        "about": evaluation.about,
        "protocols": {name: p.model_dump(mode="json") for name, p in part.protocols.items()},
        "batch": settings.batch,
        "device": str(settings.device.type),
        "source": part.source.identity(),
        "weights": {n: identity(REPRESENTATIONS[n].weights) for n in networks},
        "tables": [read_table(path) for p in part.protocols.values() for path in p.tables],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def add(
    report: dict[str, dict],
    part: Pass,
    accumulator: Accumulator,
    references: Mapping[Features, Reference],
) -> None:
    """Add to a report what a pass has measured."""
    for name, protocol in part.protocols.items():
        entry = measured_entry(protocol, accumulator, references, part.source)
        report["protocols"][name] |= entry
        report["not_measured"] |= {
            f"{metric}{OF_PROTOCOL}{name}": why
            for metric, why in (
                pop_undefined(entry, nan_images(protocol, accumulator, part))
                | without(protocol, accumulator, references)
                | without_latents(protocol, accumulator)
                | without_images(protocol, accumulator)
            ).items()
        }
    report["extremes"][part.name] = extremes.describe(accumulator, part.source.names)


def shorten_reasons(report: dict[str, dict]) -> None:
    """Let a reason be of a metric; only where another protocol has the metric, or lacks it for
    another reason, it stays of metric and protocol."""
    measured = {name for entry in report["protocols"].values() for name in entry["metrics"]}
    of_metric: dict[str, dict[str, str]] = {}
    for key, why in report["not_measured"].items():
        of_metric.setdefault(key.partition(OF_PROTOCOL)[0], {})[key] = why
    report["not_measured"] = {}
    for metric, reasons in of_metric.items():
        whys = set(reasons.values())
        alike = len(whys) == 1 and metric not in measured
        report["not_measured"] |= {metric: whys.pop()} if alike else reasons


def pop_undefined(entry: dict[str, dict], images: Mapping[str, str]) -> dict[str, str]:
    """Take metrics without a value out of an entry, which infinite ones have; the reasons, with the
    `images` that have none."""
    undefined = [name for name, value in entry["metrics"].items() if is_undefined(value)]
    for name in undefined:
        del entry["metrics"][name]
        entry["per_image"].pop(name, None)
    return {
        name: f"{UNDEFINED.get(name, UNDEFINED[None])} {images.get(name, 'these images')}"
        for name in undefined
    }


def nan_images(protocol: Protocol, accumulator: Accumulator, part: Pass) -> dict[str, str]:
    """For each metric with missing values, the first such image and the number of others."""
    found = {}
    for name, values in per_image(protocol, accumulator).items():
        if len(places := np.flatnonzero(np.isnan(values))):
            others = f" and {len(places) - 1:,} others" if len(places) > 1 else ""
            found[name] = shown(part.source.names[places[0]]) + others
    return found


def measured_entry(
    protocol: Protocol,
    accumulator: Accumulator,
    references: Mapping[Features, Reference],
    source: Source,
) -> dict[str, object]:
    """The metrics of a protocol, and those of each image; its pixels where they are weights."""
    by_name = metrics(protocol, accumulator, references, source.names, source.photographs)
    entry = {
        "metrics": {name: jsonable(metric) for name, metric in by_name.items()},
        "per_image": {
            name: [value if np.isfinite(value) else None for value in values.tolist()]
            for name, values in per_image(protocol, accumulator).items()
            if name in by_name
        },
    }
    if protocol.psnr and protocol.psnr.pool == "all":
        entry["pixels"] = (accumulator.sorted_values()["pixels"] // 3).tolist()
    if counted := images_with(protocol, accumulator):
        entry["images_with"] = counted
    return entry | about_latents(protocol, accumulator) | about_faces(protocol, accumulator)
