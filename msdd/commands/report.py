"""`msdd report`: all results as one page, or two sets of results compared."""

import argparse
from pathlib import Path

from msdd.commands.stages import params_of

ROOT = Path(".")


def add(commands: argparse._SubParsersAction) -> None:
    described = "write reports/report.html, all results as one page"
    command = commands.add_parser("report", help=described, description=described)
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    from msdd.page import document

    for line in document.run(params_of(args), ROOT):
        print(line)
    size = (ROOT / document.PAGE).stat().st_size
    print(f"{document.PAGE} written, {size / 1e6:.1f} MB")
