"""Options that several commands have."""

import argparse
import os
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path

from msdd.files import expand_user, json_text, write_json

STEPS = "default: as published; of a teacher's folder one a scale"
DEVICE = "cpu, cuda, cuda:1, mps or xpu; default: as MSDD_DEVICE says, else a GPU if there is one"
GUIDANCE = "default: as published; of a teacher's folder none"


def add_preset(command: argparse.ArgumentParser) -> None:
    command.add_argument("--preset", metavar="P", help="of presets/; default: the params file")


def params_file(args: argparse.Namespace) -> Path:
    """The preset that was chosen, or the params file."""
    from msdd.params import presets

    if args.preset is None:
        return args.params
    return presets.find(args.preset, args.params.parent)


STANDARD = Path("-")  # standard output


def json_file(text: str) -> Path:
    """A file that can be written, or STANDARD; said before an hour of measuring, not after."""
    path = expand_user(text)
    if path == STANDARD:
        return path
    if path.suffix != ".json" or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: name a file that ends with .json")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text}: nothing can be written below {folder}")
    return path


def json_alone(path: Path | None) -> AbstractContextManager:
    """A block in which what a user's code prints goes to standard error, where standard output is
    for a JSON document alone."""
    return redirect_stdout(sys.stderr) if path == STANDARD else nullcontext()


def put_json(document: object, path: Path) -> None:
    """Write a document as JSON to a file, or to standard output."""
    if path == STANDARD:
        print(json_text(document), end="")
    else:
        write_json(path, document)


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value
