"""The option `--preset`: another params file for one call, beside the pipeline."""

import argparse
from pathlib import Path


def add_preset(command: argparse.ArgumentParser) -> None:
    command.add_argument("--preset", metavar="P", help="of presets/; default: the params file")


def params_file(args: argparse.Namespace) -> Path:
    """The preset that was chosen, or the params file."""
    from msdd import presets

    if args.preset is None:
        return args.params
    return presets.find(args.preset, args.params.parent / presets.FOLDER)
