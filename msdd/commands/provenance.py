"""`msdd provenance FILE`: where an artefact comes from."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

from msdd.commands.parser import examples

ROOT = Path(".")
MOST = 20  # lines of a list; a thousand shards are for programs
STATES = {True: "unchanged", False: "changed since", None: "gone"}


def add(commands: argparse._SubParsersAction) -> None:
    described = "show where an artefact comes from: code, parameters, inputs, machine, run"
    command = commands.add_parser(
        "provenance",
        help=described,
        description=described,
        epilog=examples(
            "msdd provenance reports/table2.md",
            "msdd provenance --json data/prepared/manifest.json",
        ),
    )
    command.add_argument(
        "file", metavar="FILE", type=Path, help="a file that a stage has made, or its whole folder"
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the text")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    artefact = tell(Path(os.path.relpath(args.file)), ROOT)
    print(json.dumps(artefact, indent=2) if args.json else "\n".join(lines(artefact)))


def tell(path: Path, root: Path) -> dict:
    """All that is known of an artefact: its record, what of it is still as it was, its run.

    Raises MsddError if it has no record.
    """
    from msdd.pipeline import provenance
    from msdd.tracking.whereabouts import whereabouts

    record = provenance.find(path, root)
    run = record.get("run")
    return {
        "file": str(path),
        "files": provenance.check(provenance.part(path, record), root),
        "inputs": provenance.check(record["inputs"], root),
        "photographs": photographs(record, root),
        "record": record,
        "mlflow": run and {**run, **whereabouts(run, root)},
    }


def photographs(record: dict, root: Path) -> dict[str, str]:
    """What has become of the photographs that `prepare` read, by folder; empty for other stages."""
    from msdd.data import digests

    if record["stage"] != "prepare":
        return {}
    named = {
        key.partition(".")[2]: value
        for key, value in record["params"].items()
        if key.startswith("data.")
    }
    return {"photographs": digests.changes(SimpleNamespace(**named), root)}


def lines(artefact: dict) -> Iterator[str]:
    """The provenance as lines of text."""
    record = artefact["record"]
    yield artefact["file"]
    yield from pairs(facts(artefact))
    yield from ("", "params", *pairs(params(record["params"]), "  "))
    yield from titled_list(
        "inputs", {name: state(file) for name, file in artefact["inputs"].items()}
    )
    if record["stage"] == "prepare":
        yield from titled_list("inputs", artefact["photographs"])
    yield from titled_list("made", {name: state(file) for name, file in artefact["files"].items()})
    others = record["made"].keys() - artefact["files"].keys()
    yield from titled_list(
        "beside it", {name: record["made"][name][:12] for name in sorted(others)}
    )


def facts(artefact: dict) -> dict[str, str]:
    """What made it, when, where and with what."""
    record = artefact["record"]
    named = ", ".join(f"{name}={value}" for name, value in record["wildcards"].items())
    changed = " with uncommitted changes" if record["dirty"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    threads = f"{record['threads']} thread{'s' * (record['threads'] != 1)}"
    return {
        "stage": f"{record['stage']} {named}".strip(),
        "engine": record["engine"],
        "rule": record["rule"] or "none",
        "arguments": " ".join(record["command"]),
        "started": f"{when(record['started'])} on {record['host']}",
        "duration": took(record),
        "commit": f"{record['commit'] or 'none'}{changed}; stage's code {record['code'][:12]}",
        "versions": versions,
        "device": f"{record['device']}, {threads}",
        "MLflow": mlflow(artefact["mlflow"]),
    }


def when(started: str) -> str:
    return datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M:%S %z")


def took(record: dict) -> str:
    """The duration, and that of the pieces of a training that was interrupted."""
    from msdd.pipeline.progress import duration

    whole = f"{record['seconds']:.1f} s" if record["seconds"] < 60 else duration(record["seconds"])
    pieces = record.get("pieces", [])
    parts = [
        f"{duration(piece['seconds'])} from {when(piece['started'])}, "
        f"image {piece['images_before']:,}"
        for piece in pieces
    ]
    return f"{whole} in {len(parts)} pieces: {'; '.join(parts)}" if pieces else whole


def mlflow(run: dict | None) -> str:
    if run is None:
        return "none"
    line = f"{run['name']}, {run['status']}"
    if "id" in run:
        line += f", run {run['id']}: {run['page']}"
    if not run.get("store", "http").startswith("http"):
        line += " (after `msdd mlflow`)"
    return line


def params(tracked: Mapping[str, object]) -> dict[str, str]:
    """A line for each key, and for each row of a whole table."""
    from msdd.pipeline.stages import ROWS

    flat = {}
    for key, value in tracked.items():
        table = key in ROWS and value
        flat |= {f"{key}.{row}": value[row] for row in value} if table else {key: value}
    return {key: json.dumps(value, ensure_ascii=False) for key, value in flat.items()}


def state(file: dict) -> str:
    return f"{file['sha256'][:12]}  {STATES[file['unchanged']]}"


def pairs(named: Mapping[str, str], indent: str = "") -> list[str]:
    width = max(map(len, named), default=0)
    return [f"{indent}{name:{width}}  {value}" for name, value in named.items()]


def titled_list(title: str, named: Mapping[str, str]) -> Iterator[str]:
    """A titled list; nothing if it is empty, and not all if it is long."""
    entries = pairs(named, "  ")
    if entries:
        yield from ("", title, *entries[:MOST])
    if len(entries) > MOST:
        yield f"  and {len(entries) - MOST} more: --json has all"
