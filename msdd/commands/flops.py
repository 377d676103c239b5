"""`msdd flops`: what decoding costs by arithmetic, and what a device allows."""

import argparse

from msdd.commands.options import STANDARD, add_preset, json_file, params_file, put_json
from msdd.commands.parser import examples


def add(commands: argparse._SubParsersAction) -> None:
    described = "print FLOPs, weights and floors of teachers, students and encoder"
    command = commands.add_parser(
        "flops",
        help=described,
        description=described,
        epilog=examples("msdd flops", "msdd flops --preset imagenet256 --device h200 --json"),
    )
    add_preset(command)
    command.add_argument(
        "--device",
        default="h100",
        metavar="NAME",
        help="h100, h200; h100-sheet, h200-sheet, a100-sheet: by data sheet; this: measured now",
    )
    command.add_argument(
        "--precision", choices=("bf16", "fp32"), default="bf16", help="default: bf16"
    )
    command.add_argument(
        "--json",
        nargs="?",
        const=STANDARD,
        type=json_file,
        metavar="FILE",
        help="print JSON in place of the text; with FILE, write it there and print the text",
    )
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    from msdd.files import check_no_input
    from msdd.params.load import load

    params = load(params_file(args))
    if args.json:
        check_no_input(args.json, "--json", [("--params", params_file(args))])
    from msdd import ceilings
    from msdd.speed import card_text, systems

    limits = ceilings.ceilings(args.device, args.precision, params.cpu_threads)
    card = systems.card_of(params, params.trained_here(), limits, args.precision)
    if args.json != STANDARD:
        print(card_text.text(card))
    if args.json:
        put_json(card, args.json)
