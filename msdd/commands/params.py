"""`msdd params`: choose, check and expand parameters."""

import argparse
import json
from pathlib import Path

from msdd.commands.parser import examples

ROOT = Path(".")


def add(commands: argparse._SubParsersAction) -> None:
    described = "choose, check and expand parameters"
    command = commands.add_parser(
        "params",
        help=described,
        description=described,
        epilog=examples("msdd params use demo", "msdd params check"),
    )
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    described = "make a preset of presets/ the params file"
    chosen = actions.add_parser(
        "use", help=described, description=described, epilog=examples("msdd params use demo")
    )
    chosen.add_argument("preset", metavar="PRESET")
    chosen.set_defaults(call=use)
    for name, call, described in (
        ("expand", expand, "write workflow/rows.yaml, the flat tables of jobs"),
        ("schema", schema, "write presets/params.schema.json for editors, and docs/params.md"),
        ("check", check, "check the params file and show what it would run"),
    ):
        action = actions.add_parser(
            name, help=described, description=described, epilog=examples(f"msdd params {name}")
        )
        action.set_defaults(call=call)
        if name == "check":
            action.add_argument("--json", action="store_true", help="print JSON instead")


def use(args: argparse.Namespace) -> None:
    from msdd.params import presets
    from msdd.params.load import load
    from msdd.pipeline import jobs

    print("\n".join(presets.use(args.preset, args.params)))
    jobs.expand(load(args.params))


def expand(args: argparse.Namespace) -> None:
    from msdd.params.load import load
    from msdd.pipeline import jobs, layout

    print(layout.rows(), "written" if jobs.expand(load(args.params)) else "is up to date")


def schema(args: argparse.Namespace) -> None:
    from msdd.files import write_text
    from msdd.params import page, presets
    from msdd.pipeline.stages import STAGES

    write_text(presets.SCHEMA, presets.schema())
    write_text(page.PATH, page.page({name: stage.keys for name, stage in STAGES.items()}))
    print(f"{presets.SCHEMA} and {page.PATH} written")


def check(args: argparse.Namespace) -> None:
    from msdd.params.load import load
    from msdd.pipeline import jobs

    params = load(args.params)
    told, missing = jobs.plan(params), jobs.missing(params, ROOT)
    if args.json:
        print(json.dumps({**told, "missing": missing}, indent=2))
    else:
        print(*(f"{key}: {text}" for key, text in told.items()), *missing, sep="\n")
