"""`msdd throughput`: the stage as params.yaml defines it, or a measurement of the user's own."""

import argparse
import os
from typing import TYPE_CHECKING

from msdd.commands.options import (
    STANDARD,
    add_preset,
    json_alone,
    json_file,
    params_file,
    put_json,
)
from msdd.commands.parser import examples
from msdd.errors import MsddError
from msdd.tokenizers.user_code import is_object

if TYPE_CHECKING:
    from msdd.params.schema import Params

OWN = ("systems", "batches", "regions", "variants", "repeats", "precision")  # keys of `throughput`


def add(commands: argparse._SubParsersAction) -> None:
    described = "time decodes against each other in one run: reports/throughput.json"
    more = "Without options, the params decide. Options measure something else, into --json FILE."
    command = commands.add_parser(
        "throughput",
        help=described,
        description=f"{described}. {more}",
        epilog=examples(
            "msdd throughput",
            "msdd throughput --systems teacher student --batches 1 16 --json times.json",
            "msdd throughput --preset imagenet256 --random --systems student --json -",
        ),
    )
    add_preset(command)
    command.add_argument(
        "--systems",
        nargs="+",
        metavar="DECODE",
        help="first: what speed-ups are over; of `msdd tokenizers` with random weights, or "
        "module:object with encode and decode, or of a function of images, too",
    )
    command.add_argument("--batches", nargs="+", type=int, metavar="N")
    command.add_argument(
        "--regions", nargs="+", metavar="REGION", help="decode, encode, both, paper"
    )
    command.add_argument(
        "--variants",
        nargs="+",
        metavar="VARIANT",
        help="plain, fast, compiled; of one-step students on a processor also onnxruntime, "
        "onnxruntime-int8, openvino, openvino-bf16, openvino-int8",
    )
    command.add_argument("--repeats", type=int, metavar="N", help="rounds")
    command.add_argument("--precision", metavar="P", help="of fast and compiled: fp32 or bf16")
    command.add_argument("--threads", type=int, metavar="N", help="of the processor")
    command.add_argument("--random", action="store_true", help="random weights: no training needed")
    command.add_argument(
        "--json",
        type=json_file,
        metavar="FILE",
        help="and the table beside it; -: JSON alone, to standard output",
    )
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    changed = {key: getattr(args, key) for key in OWN if getattr(args, key) is not None}
    if changed or args.preset or args.threads is not None or args.random or args.json:
        measure_own(args, changed)
    else:
        from msdd.commands.stages import ROOT, check_unedited, params_of
        from msdd.pipeline import gpus, layout

        gpus.lease(1)
        params = params_of(args)
        from msdd.files import read_json
        from msdd.report import speed
        from msdd.speed import stage

        stage.run(params, ROOT, show_card)
        if "DVC_STAGE" in os.environ:
            check_unedited(args.params, params, "throughput", {})
        document = read_json(ROOT / layout.throughput())
        print(speed.table(document, layout.throughput().name).markdown())


def measure_own(args: argparse.Namespace, changed: dict) -> None:
    """Measure what the options say, outside the pipeline: the document, its table and figure."""
    if args.json is None:
        raise MsddError("--json FILE is missing: reports/ is for what the params file says")
    names = changed.get("systems")
    if names:  # the params know no objects of the user's
        changed["systems"] = [name for name in names if not is_object(name)]
        if not changed["systems"]:
            del changed["systems"]
    params = _with_options(args, changed)
    from msdd.commands.stages import ROOT
    from msdd.files import check_no_input
    from msdd.speed import stage

    check_no_input(args.json, "--json", [("--params", params_file(args))])
    if args.json == STANDARD:  # which needs none of the packages for tables
        with json_alone(args.json):
            document = stage.timings(params, ROOT, silent, args.random, names)
        put_json(document, args.json)
        return
    from msdd.report import speed

    document = stage.timings(params, ROOT, show_card, args.random, names)
    put_json(document, args.json)
    speed.render(document, args.json)
    print(args.json.with_suffix(".md").read_text(encoding="utf-8"))


def silent(card: dict) -> None:
    """The FLOP card is a part of the document."""


def show_card(card: dict) -> None:
    """Print the FLOP card at once: timing may take an hour after it."""
    from msdd.speed import card_text

    print(card_text.text(card), flush=True)


def _with_options(args: argparse.Namespace, changed: dict) -> "Params":
    """The params, with the options in place of their keys in `throughput`; checked as a file is."""
    from msdd.params.load import load, parse

    raw = load(params_file(args)).raw()
    raw["throughput"] |= changed
    if args.threads is not None:
        raw["cpu_threads"] = args.threads
    return parse(raw, "options")
