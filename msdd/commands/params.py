"""`msdd params`: choose, check and expand parameters."""

import argparse
from pathlib import Path

ROOT = Path(".")


def add(commands: argparse._SubParsersAction) -> None:
    described = "choose, check and expand parameters"
    command = commands.add_parser("params", help=described, description=described)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    chosen = actions.add_parser("use", help="make a preset of presets/ the params file")
    chosen.add_argument("preset", metavar="PRESET")
    chosen.set_defaults(call=use)
    for name, call, described in (
        ("expand", expand, "write workflow/rows.yaml, the flat tables of jobs"),
        ("schema", schema, "write presets/params.schema.json for editors, and docs/params.md"),
        ("check", check, "check the params file and tell what it would run"),
    ):
        actions.add_parser(name, help=described).set_defaults(call=call)


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
    print("\n".join([*jobs.plan(params), *jobs.missing(params, ROOT)]))
