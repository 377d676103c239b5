"""`msdd export`: a student's decoder for other programs."""

import argparse
from pathlib import Path

from msdd.commands.parser import examples


def add(commands: argparse._SubParsersAction) -> None:
    described = "write a student's one-step decoder as a .pt2 (torch.export) or .onnx file"
    command = commands.add_parser(
        "export",
        help=described,
        description=described,
        epilog=examples("msdd export runs/msdd/msdd-finetuned decoder.onnx"),
    )
    command.add_argument("folder", metavar="FOLDER", type=Path, help="runs/<model>/<student>")
    command.add_argument("file", metavar="FILE", type=Path)
    command.set_defaults(call=call)


def call(args: argparse.Namespace) -> None:
    from msdd.errors import MsddError
    from msdd.fast.export import export
    from msdd.tokenizers.msdd import load
    from msdd.weights.model_folder import read_config

    kind, _ = read_config(args.folder)
    if kind != "student":
        raise MsddError(f"{args.folder} holds a {kind}; name a student's folder")
    tokenizer = load(args.folder)
    files = export(tokenizer, args.file)
    noise = "noise" if tokenizer.noise == "drawn" else "zeros in place of noise"
    print(f"{' and '.join(map(str, files))} written: latents and {noise} to images")
    if len(files) > 1:
        print(f"{files[1]} holds the weights; keep both in one folder, under these names")
