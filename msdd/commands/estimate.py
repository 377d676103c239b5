"""`msdd estimate`: what a params file costs before it is run, and how far off that was."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.commands.options import add_preset, params_file, positive
from msdd.commands.parser import examples

if TYPE_CHECKING:
    from msdd.ceilings import Ceilings
    from msdd.params.schema import Params

ROOT = Path(".")
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def add(commands: argparse._SubParsersAction) -> None:
    described = (
        "estimate jobs, hours of devices, wall time and disk; after a run, how far off it was"
    )
    command = commands.add_parser(
        "estimate",
        help=described,
        description=described,
        epilog=examples(
            "msdd estimate table2",
            "msdd estimate --preset imagenet256 --device h100 --photographs 1281167 50000 --json",
        ),
    )
    command.add_argument(
        "target", nargs="?", default="all", metavar="TARGET", help="a report or a row; default: all"
    )
    add_preset(command)
    command.add_argument(
        "--device",
        default="this",
        metavar="NAME",
        help="h100, h200; h100-sheet, h200-sheet, a100-sheet: by data sheet; default: this, which "
        "is measured, and where finished jobs count as recorded",
    )
    command.add_argument(
        "--jobs", type=positive, metavar="N", help="at once; default: one a GPU, or cores / threads"
    )
    command.add_argument(
        "--photographs",
        nargs=2,
        type=positive,
        metavar=("TRAIN", "HELD_OUT"),
        help="how many there are, where the params cut one crop of each",
    )
    command.add_argument(
        "--table", action="store_true", help="all presets as a table in Markdown, as in the README"
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the text")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    if args.table:
        print(table(args))
        return
    from msdd.params.load import load

    told = estimate(load(params_file(args)), args, ROOT)
    print(json.dumps(told, indent=2) if args.json else "\n".join(lines(told)))


def table(args: argparse.Namespace) -> str:
    """Every preset, the shortest first, as a table in Markdown."""
    from msdd.params import presets
    from msdd.params.load import load

    files = presets.known(args.params.parent)
    told = {name: estimate(load(path), args, ROOT) for name, path in sorted(files.items())}
    rows = [
        f"| {name} | {one['jobs']} | {device_hours(one)[1]} | {span(one['wall_seconds'])} | "
        f"{size(one['disk_bytes'])} | {size(one['checkpoint_bytes'])} |"
        for name, one in sorted(told.items(), key=lambda row: row[1]["seconds"])
    ]
    unit = device_hours(next(iter(told.values())))[0]
    head = f"| preset | jobs | {unit}-hours | wall time | disk | checkpoints |"
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|", *rows])


def estimate(params: "Params", args: argparse.Namespace, root: Path) -> dict:
    """The document of `msdd.speed.estimate` for what the options say."""
    from msdd.ceilings import HERE
    from msdd.pipeline import environment
    from msdd.speed import estimate
    from msdd.speed.all_work import all_work
    from msdd.speed.work import wanted

    here = args.device == HERE
    if here:
        import torch  # noqa: F401 - tells whether there is a GPU

    kind = estimate.kind_of(args.device)
    work = wanted(all_work(params, args.photographs and tuple(args.photographs)), args.target)
    limits = _limits(params, args.device, any(one.precision == "bf16" for one in work), root)
    name = environment.gpu() or environment.cpu()
    known = estimate.recorded(work, params, root, name) if here else {}
    jobs = [
        estimate.Estimate(one, estimate.arithmetic(one, limits, kind), known.get(one.key))
        for one in work
    ]
    slots = args.jobs or (1 if kind == "gpu" else max(1, environment.cores() // params.cpu_threads))
    at = {"device": name if here else args.device, "kind": kind, "target": args.target}
    at |= {"ceilings": limits.source, "efficiency": list(reversed(estimate.EFFICIENCY[kind]))}
    at["cores"] = 1 if kind == "gpu" else params.cpu_threads
    return at | estimate.document(jobs, slots)


def _limits(params: "Params", device: str, bf16: bool, root: Path) -> "Ceilings":
    """The ceilings of a device: of this one as trainings have noted them, else measured now."""
    from msdd import ceilings
    from msdd.pipeline import environment
    from msdd.speed import estimate

    precision = "bf16" if bf16 else "fp32"
    if device == ceilings.HERE:
        name = environment.gpu() or environment.cpu()
        known = estimate.recorded_ceilings(params, root, name)
        if known and known.rate(precision):
            return known
    return ceilings.ceilings(device, precision, params.cpu_threads)


def lines(told: dict) -> Iterator[str]:
    """The estimate as lines of text."""
    from msdd.speed.card_text import align

    low, high = told["efficiency"]
    yield f"{told['target']} on {told['device']}; ceilings {told['ceilings']}"
    yield f"by arithmetic: {low:.0%} to {high:.0%} of the ceiling, and the start of every job"
    yield ""
    head = ("stage", "jobs", "time", "source", "by arithmetic", "off")
    yield align([head, *(_stage(stage) for stage in told["stages"])])
    yield ""
    unit, hours = device_hours(told)
    yield f"jobs: {told['jobs']}, {span(told['seconds'])} in all: {hours} {unit}-hours"
    yield f"wall time with {told['at_once']} at once: {span(told['wall_seconds'])}"
    yield (
        f"disk: {size(told['disk_bytes'])}, and {size(told['checkpoint_bytes'])} of checkpoints "
        "while trainings run"
    )
    yield from _off(told)


def device_hours(told: dict) -> tuple[str, str]:
    """Hours of GPUs, or of cores of a processor."""
    hours = [seconds * told["cores"] / 3600 for seconds in told["seconds"]]
    low, high = (f"{one:,.2g}" if one < 100 else f"{one:,.0f}" for one in hours)
    return ("GPU" if told["kind"] == "gpu" else "core"), low if low == high else f"{low} to {high}"


def _stage(stage: dict) -> tuple[str, ...]:
    known, count = stage["recorded_jobs"], stage["jobs"]
    source = "arithmetic"
    if known:
        source = "recorded" if known == count else f"{known} of {count} recorded"
    compared = span(stage["by_arithmetic"]) if known else ""
    return (
        stage["stage"],
        f"{count:,}",
        span(stage["seconds"]),
        source,
        compared,
        off(stage["by_arithmetic"], stage["recorded_seconds"]) if known else "",
    )


def off(least_most: list[float], actual: float) -> str:
    """How far a range misses what was recorded; a range that holds it misses nothing."""
    least, most = least_most
    if least <= actual <= most:
        return "inside"
    return f"{(most if actual > most else least) / actual - 1:+.0%}"


def _off(told: dict) -> Iterator[str]:
    """The sum over all recorded jobs against its estimate."""
    known = [stage for stage in told["stages"] if stage["recorded_jobs"]]
    if not known:
        return
    actual = sum(stage["recorded_seconds"] for stage in known)
    range_ = [sum(stage["by_arithmetic"][i] for stage in known) for i in range(2)]
    middle = (range_[0] * range_[1]) ** 0.5
    yield (
        f"recorded: {sum(stage['recorded_jobs'] for stage in known)} jobs took {actual:,.0f} s; by "
        f"arithmetic {span(range_)}, the middle {middle / actual - 1:+.0%} off"
    )


def span(least_most: list[float]) -> str:
    """A range of times, or one time."""
    from msdd.pipeline.progress import duration

    low, high = map(duration, least_most)
    return low if low == high else f"{low} to {high}"


def size(count: float) -> str:
    unit, name = next((one for one in UNITS if count >= one[0]), UNITS[-1])
    return f"{count / unit:,.3g} {name}"
