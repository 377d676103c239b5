"""Throughput as a stage: systems timed against each other, with all that the figures depend on."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from msdd.ceilings import measure
from msdd.device import prepare_device
from msdd.files import write_json
from msdd.params.schema import Params
from msdd.params.sections import Throughput
from msdd.pipeline import layout
from msdd.pipeline.environment import context
from msdd.pipeline.lock import hold
from msdd.pipeline.task import resolve
from msdd.report import timed
from msdd.report.results import recorded
from msdd.report.style import save_as
from msdd.report.table import write
from msdd.report.throughput import table
from msdd.report.throughput_figure import draw
from msdd.speed import card_text, rounds
from msdd.speed.context import machine
from msdd.speed.systems import TimedSystem, card_of, chosen, decodes_of
from msdd.tracking.run import open_run


def run(params: Params, root: Path = Path(".")) -> dict[str, float]:
    """Time the systems of the params; returns the images/s of each in every region.

    Writes `reports/throughput.{json,csv,md,tex,png,svg}`.
    """
    more = {"throughput": params.throughput.model_dump(mode="json")}
    task = resolve(params, "throughput", root, inputs=())
    with (
        hold(root / layout.checkpoint(layout.throughput().with_suffix("")) / "lock"),
        recorded("throughput", params, root) as record,
        open_run(task, "throughput", root=root, more=more) as told,
    ):
        record["run"] = told.identity
        document = timings(params, root)
        save(document, root / layout.throughput())
        speeds = summary(document)
        told.log(0, speeds)
        told.file(root / layout.throughput())
    return speeds


def timings(params: Params, root: Path, random: bool = False) -> dict:
    """Time the systems of the params, after printing the FLOP card; `random`: their weights."""
    device = prepare_device(params.cpu_threads)
    ceilings = measure(device, params.throughput.precision)
    card = card_of(params, decodes_of(params), ceilings, params.throughput.precision)
    print(card_text.text(card), flush=True)
    systems = chosen(params, root, device, random)
    origin = {"context": context() | {"before": machine(device)}}
    found = document(systems, params.throughput, device)
    origin["context"]["after"] = machine(device)
    return found | origin | {"card": card, "ceilings": asdict(ceilings), "random": random}


def document(systems: Sequence[TimedSystem], settings: Throughput, device: torch.device) -> dict:
    """What was timed, how, and what came out, ready for JSON."""
    return {
        "throughput": settings.model_dump(mode="json"),
        "systems": [_about(system) for system in systems],
        **rounds.measure(systems, settings, device),
    }


def _about(system: TimedSystem) -> dict:
    plain = system.plain
    described = plain.describe()._asdict()
    return {
        "system": system.name,
        "resolution": plain.resolution,
        "flops": system.flops,
        **described,
    }


def save(document: dict, path: Path) -> None:
    """The document as `path`, and beside it the table and the figure; the document last."""
    write(path.with_suffix(""), table(document, path.name))
    save_as(draw(document), path.with_suffix(""))
    write_json(path, document)


def summary(document: dict) -> dict[str, float]:
    """Images/s of each system in every region at its best batch."""
    pairs = dict.fromkeys((row["region"], row["system"]) for row in document["rows"])
    best = {pair: timed.best(timed.rows(document, pair[1], pair[0])) for pair in pairs}
    return {"/".join(pair): row["images_per_second"] for pair, row in best.items()}
