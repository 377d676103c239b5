"""`msdd doctor`: whether what these params need is here, and what to do."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.commands.parser import examples
from msdd.terminal import paint

if TYPE_CHECKING:
    from msdd.health.finding import Finding

ROOT = Path(".")
COLOURS = {"ok": "green", "warn": "yellow", "missing": "red"}


def add(commands: argparse._SubParsersAction) -> None:
    described = "say what is here, what is missing and what to do: device, packages, weights, disk"
    more = "It ends with 1 only if something is missing that the params need."
    command = commands.add_parser(
        "doctor",
        help=described,
        description=f"{described}. {more}",
        epilog=examples("msdd doctor", "msdd doctor --params presets/imagenet256.yaml --json"),
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of the text")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    findings = list(examine(args.params))
    bad = [one for one in findings if one.state == "missing"]
    if args.json:
        print(
            json.dumps({"ok": not bad, "findings": [one._asdict() for one in findings]}, indent=2)
        )
    else:
        print("\n".join(lines(findings)))
    if bad:
        from msdd.errors import MsddError

        names = ", ".join(dict.fromkeys(one.about for one in bad))
        raise MsddError(f"these params need what is not here: {names}")


def examine(path: Path) -> Iterator["Finding"]:
    """Everything that can be said of this machine and of a working directory."""
    from msdd.health import machine, networks, project

    params, told = project.read(path)
    yield from told
    yield from machine.device()
    yield from machine.python()
    yield from machine.optional(project.packages(params) if params else set())
    yield from networks.measuring(networks.needed(params) if params else set())
    if params:
        yield from networks.given(params, ROOT)
        yield from project.inputs(params, ROOT)
    yield networks.tokenizers()
    yield machine.disk(params, ROOT)
    yield from project.tracking(ROOT)
    yield from project.locks(ROOT)


def lines(findings: list["Finding"]) -> Iterator[str]:
    """The findings as lines of text: a mark, the subject, and below it what to do."""
    width = max(len(one.about) for one in findings)
    for about, state, text, cure in findings:
        mark = paint(f"{state:7}", COLOURS[state], sys.stdout)
        yield f"{mark}  {about:{width}}  {text}"
        if cure:
            yield f"{'':{width + 11}}-> {cure}"
