"""The stage `throughput`: time systems against each other, and write what was timed as JSON.

It shows nothing itself: an edit of a text or a figure must not repeat hours of timing.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from msdd.ceilings import measure
from msdd.device import prepare_device, whole_float32
from msdd.files import write_json
from msdd.params.schema import Params
from msdd.params.sections import BASELINES, Throughput
from msdd.pipeline import layout
from msdd.pipeline.environment import context
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import recorded
from msdd.pipeline.task import Task, resolve
from msdd.speed import rounds
from msdd.speed.context import machine
from msdd.speed.rows import decodes_of
from msdd.speed.systems import TimedSystem, card_of, systems_of
from msdd.speed.variants import VARIANTS
from msdd.tracking.run import open_run


def run(params: Params, root: Path, show: Callable[[dict], None]) -> dict[str, float]:
    """Time the systems of the params into `reports/throughput.json`.

    `show` gets the FLOP card (`card.card`) before timing begins. Returns images/s under
    `<region>/<system>`. Raises MsddError if a variant fails the gate.
    """
    file, more = layout.throughput(), {"throughput": params.throughput.model_dump(mode="json")}
    artefact, task = file.with_suffix(""), _task(params, root)
    decodes = {name: resolve(params, "evaluate", root, [], decode=name) for name in params.decodes}
    with (
        hold(root / layout.checkpoint(artefact) / "lock"),
        recorded(task, artefact, layout.report("throughput"), root) as record,
        open_run(task, "throughput", root=root, more=more, measured=decodes) as tracker,
    ):
        record["run"] = tracker.identity
        document = timings(params, root, show)
        write_json(root / file, document)
        speeds = summary(document)
        tracker.log(0, speeds)
        for decode, values in figures(document).items():
            tracker.figures(values, decode)
        tracker.file(root / file)
    return speeds


def _task(params: Params, root: Path) -> Task:
    """The task of timing. Its inputs are the models that decode and all evaluations, so it starts
    when they are done."""
    decodes = {row: layout.evaluation(*params.source(row), row) for row in params.decodes}
    folders = dict.fromkeys(decodes[row].parent.parent for row in params.trained_here())
    models = [folder / file for folder in folders for file in layout.MODEL_FILES]
    measured = [*map(layout.baseline, BASELINES), *decodes.values()]
    inputs = [layout.images(None), *models, *measured]
    return resolve(params, "throughput", root, inputs)


@whole_float32()
def timings(
    params: Params,
    root: Path,
    show: Callable[[dict], None],
    random: bool = False,
    names: Sequence[str] | None = None,
) -> dict:
    """Time the systems of the params; returns a document ready for JSON.

    show: gets the FLOP card before timing begins. random: draw all weights, in place of reading
    the models below `root`. names: see `systems_of`.
    """
    device = prepare_device(params.cpu_threads)
    ceilings = measure(device, params.throughput.precision)
    card = card_of(params, decodes_of(params), ceilings, params.throughput.precision)
    show(card)
    systems = systems_of(params, root, device, random, names)
    circumstances = context() | {"before": machine(device)}
    result = document(systems, params.throughput, device)
    circumstances["after"] = machine(device)
    origin = {"context": circumstances, "card": card, "ceilings": asdict(ceilings)}
    if names:
        result["throughput"]["systems"] = list(names)
    return result | origin | {"random": random}


def document(systems: Sequence[TimedSystem], settings: Throughput, device: torch.device) -> dict:
    """The settings, the systems and their timings (`rounds.measure`), ready for JSON."""
    return {
        "throughput": settings.model_dump(mode="json"),
        "systems": [_description(system) for system in systems],
        **rounds.measure(systems, settings, device),
    }


def _description(system: TimedSystem) -> dict:
    """Name, resolution in pixels, FLOPs of one image, and what the tokenizer says of itself."""
    plain = system.plain
    about = {"system": system.name, "resolution": plain.resolution, "flops": system.flops}
    return about | plain.describe()._asdict()


def summary(document: dict) -> dict[str, float]:
    """The most images/s of each system in each region, over variants and batch sizes."""
    speeds: dict[str, float] = {}
    for row in document["rows"]:
        name = f"{row['region']}/{row['system']}"
        speeds[name] = max(row["images_per_second"], speeds.get(name, 0.0))
    return speeds


def figures(document: dict) -> dict[str, dict[str, float]]:
    """What decoding with each system costs: GFLOP of an image, and images/s if it was timed, of the
    variant that tables show beside its quality.

    Nothing of a system that does not decode apart.
    """
    costs = {one["system"]: one["flops"].get("decode") for one in document["systems"]}
    found = {
        name: {"gflop_per_image": flops / 1e9} for name, flops in costs.items() if flops is not None
    }
    for row in sorted(document["rows"], key=_rank):  # the last of a system stays
        if row["region"] == "decode":
            found[row["system"]]["images_per_second"] = row["images_per_second"]
    return found


def _rank(row: dict) -> tuple[int, float]:
    return VARIANTS.index(row["variant"]), row["images_per_second"]
