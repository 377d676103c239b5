"""`msdd compare`: a picture of images side by side, with their differences enlarged."""

import argparse
from pathlib import Path

from msdd.commands.options import positive
from msdd.commands.parser import examples

FACTOR = 8


def add(commands: argparse._SubParsersAction) -> None:
    described = "draw images side by side, with enlarged differences and PSNR"
    command = commands.add_parser(
        "compare",
        help=described,
        description=f"{described}: files, or folders with images of the same names, of which at "
        "most 8 are shown.",
        epilog=examples(
            "msdd compare photo.png photo-decoded.png",
            "msdd compare originals student teacher -o comparison.png --factor 4",
        ),
    )
    command.add_argument("first", metavar="A", type=Path, help="what the others differ from")
    command.add_argument("others", metavar="B", type=Path, nargs="+", help="one or several")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("compare.png"),
        metavar="FILE",
        help=".png, .svg or .pdf; default: compare.png",
    )
    command.add_argument(
        "--factor", type=positive, default=FACTOR, metavar="N", help=f"of differences; {FACTOR}"
    )
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    from msdd.files import check_no_input, check_place

    places = [args.first, *args.others]
    check_format(args.output)
    check_place(args.output, "--output")
    check_no_input(args.output, "--output", [("the image", place) for place in places])
    from msdd.files import atomic
    from msdd.report import side_by_side
    from msdd.report.contact_sheet import DPI

    figure = side_by_side.draw(places, args.factor)
    with atomic(args.output) as temporary:
        figure.savefig(temporary, dpi=DPI, format=args.output.suffix[1:])
    there = side_by_side.count(args.first)
    some = f": {side_by_side.how_many(there)}" if there > side_by_side.MOST else ""
    print(f"{args.output} written{some}")


def check_format(path: Path) -> None:
    from msdd.errors import MsddError

    if path.suffix not in (".png", ".svg", ".pdf"):
        raise MsddError(f"--output {path}: name a file that ends with .png, .svg or .pdf")
