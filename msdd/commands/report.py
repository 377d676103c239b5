"""`msdd report`: all results as one page, or two sets of results compared."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.commands.parser import examples
from msdd.commands.stages import params_of
from msdd.errors import MsddError
from msdd.files import expand_user

if TYPE_CHECKING:
    from msdd.page.comparison import Comparison

ROOT = Path(".")
COMPARED = Path("reports/comparison.html")
HEADS = ["decode", "metric", "first", "second", "second less first", "95 % interval", "second is"]
EXAMPLES = (
    "msdd report",
    "msdd report --compare ../before .",
    "msdd report --compare kept/june kept/july --json",
)


def add(commands: argparse._SubParsersAction) -> None:
    described = "write all results as one page, reports/report.html, or compare two sets of results"
    command = commands.add_parser(
        "report",
        help=described,
        description=described,
        epilog=examples(*EXAMPLES),
    )
    command.add_argument(
        "--compare",
        nargs=2,
        type=expand_user,
        metavar=("FIRST", "SECOND"),
        help="checkouts, or folders of kept runs with the files of runs/**/eval/: show what "
        "changed, and whether it is more than noise",
    )
    command.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help=f"with --compare; default: {COMPARED}"
    )
    command.add_argument("--json", action="store_true", help="with --compare: for programs")
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    if args.compare:
        compare(args)
        return
    for option in ("output", "json"):
        if getattr(args, option):
            raise MsddError(f"--{option} goes with --compare FIRST SECOND")
    from msdd.page import document

    for line in document.run(params_of(args), ROOT):
        print(line)
    size = (ROOT / document.PAGE).stat().st_size
    print(f"{document.PAGE} written, {size / 1e6:.1f} MB")


def compare(args: argparse.Namespace) -> None:
    """Write the page, and print the same as text or JSON."""
    from msdd.files import check_place, write_text
    from msdd.page import comparison, document

    target = args.output or COMPARED
    check_place(target, "--output")
    found = comparison.compare(*args.compare)
    write_text(target, document.compared(found))
    if args.json:
        print(json.dumps(found.plain() | {"page": str(target)}, indent=2, allow_nan=False))
    else:
        print("\n".join([*text(found), f"{target} written"]))


def text(found: "Comparison") -> list[str]:
    """The changes as an aligned table, and what does not compare."""
    from tabulate import tabulate

    from msdd.files import shown
    from msdd.page import comparison

    lines = [f"first: {found.sides[0].folder}, commit {found.sides[0].commits}"]
    lines += [f"second: {found.sides[1].folder}, commit {found.sides[1].commits}", ""]
    cells = [[shown(cell) for cell in line] for line in comparison.lines(found)]
    sides = ("left", "left", "right", "right", "right", "left", "left")
    lines += [tabulate(cells, HEADS, "plain", colalign=sides, disable_numparse=True), ""]
    lines += [f"{name}: {reason}" for name, reason in found.unlike.items()]
    for word, names in zip(("first", "second"), found.only, strict=True):
        lines += [f"in the {word} alone: {', '.join(names)}"] if names else []
    for word, side in zip(("first", "second"), found.sides, strict=True):
        lines += [f"out of date in the {word}: {shown(line)}" for line in side.outdated]
    lines += [f"{shown(key)}: {a} -> {b}" for key, (a, b) in found.params.items()]
    verdicts = Counter(change.verdict for change in found.changes)
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    return [*map(shown, lines[:2]), *lines[2:], told or "nothing to compare"]
