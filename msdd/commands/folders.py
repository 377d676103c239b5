"""`msdd encode`, `msdd decode`, `msdd reconstruct`: a folder of images through a tokenizer."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from msdd.commands.options import DEVICE, GUIDANCE, STEPS, positive
from msdd.commands.parser import examples

if TYPE_CHECKING:
    from msdd.tokenizers.folders import Cut, Native
    from msdd.tokenizers.tokenizer import Tokenizer

BATCH = 8  # images at once

COMMANDS = {
    "encode": "turn a folder of images into latents, one .safetensors an image",
    "decode": "turn a folder of latents into images",
    "reconstruct": "encode and decode a folder of images",
}


EXAMPLES = {
    "encode": ["msdd encode photos latents --tokenizer runs/msdd/msdd-finetuned"],
    "decode": ["msdd decode latents photos-decoded --tokenizer runs/msdd/msdd-finetuned"],
    "reconstruct": [
        "msdd reconstruct photos decoded --tokenizer runs/msdd/msdd-finetuned --size native",
        "msdd reconstruct photos decoded --tokenizer titok-s-128 --checkpoint titok.safetensors",
    ],
}


NAMED = (
    "of `msdd tokenizers`; a folder: runs/<model>/<student>, or an AutoencoderKL's of diffusers; "
    "or module:object or file.py:object with encode and decode"
)


SIZE = (
    "native: latents that were encoded so; default: crop",
    "native: whole images of any sides, by tiles where the network takes but one; default: crop",
)


def add(commands: argparse._SubParsersAction) -> None:
    for name, described in COMMANDS.items():
        command = commands.add_parser(
            name, help=described, description=described, epilog=examples(*EXAMPLES[name])
        )
        command.add_argument("source", metavar="IN_DIR", type=Path)
        command.add_argument("target", metavar="OUT_DIR", type=Path)
        _add_tokenizer(command)
        command.add_argument(
            "--size", choices=("crop", "native"), default="crop", help=SIZE[name != "decode"]
        )
        if name != "decode":
            command.add_argument(
                "--resolution", type=positive, metavar="N", help="side of the crops, in px"
            )
        if name != "encode":
            _add_decoding(command)
        command.set_defaults(call=call, action=name)


def _add_tokenizer(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--tokenizer",
        required=True,
        metavar="NAME|FOLDER",
        help=NAMED,
    )
    command.add_argument(
        "--checkpoint", metavar="FILE", help="of a tokenizer by name; or hf://owner/repository/file"
    )
    command.add_argument(
        "--run-code", action="store_true", help="open TorchScript files, which are programs"
    )
    command.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32"
    )
    command.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="images at once, by default 8; with --size native, tiles at once",
    )
    command.add_argument("--device", metavar="D", help=DEVICE)


def _add_decoding(command: argparse.ArgumentParser) -> None:
    command.add_argument("--steps", type=positive, metavar="N", help=STEPS)
    command.add_argument("--guidance", type=float, metavar="G", help=GUIDANCE)
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the noise")


def call(args: argparse.Namespace) -> None:
    from msdd.device import arithmetic, enough_memory
    from msdd.evaluate import distributed
    from msdd.tokenizers import folders

    folders.check(args.action, args.source, args.target)
    device = distributed.device(args.device)
    check_size(args)
    tokenizer = open_tokenizer(args, device)
    given = (tokenizer, args.source, args.target)
    batch = 1 if args.size == "native" else args.batch or BATCH
    at_once = args.batch or batch  # images, or tiles of one
    told = f"lower --batch, {at_once} now" if at_once > 1 else "take smaller images"
    with enough_memory(told), arithmetic(args.precision, device):
        if args.action == "encode":
            folders.encode(*given, cut_of(args, tokenizer), batch)
        elif args.action == "decode":
            folders.decode(*given, args.seed, batch)
        else:
            folders.reconstruct(*given, cut_of(args, tokenizer), args.seed, batch)


def check_size(args: argparse.Namespace) -> None:
    from msdd.errors import MsddError

    if args.size == "native" and getattr(args, "resolution", None):
        raise MsddError("--resolution is a crop's; with --size native leave it out")


def open_tokenizer(args: argparse.Namespace, device: object) -> "Tokenizer":
    from msdd.pipeline.progress import busy
    from msdd.tokenizers.any_size import any_size
    from msdd.tokenizers.catalogue import load

    chosen = {key: getattr(args, key, None) for key in ("steps", "guidance")}
    with busy(f"opening {args.tokenizer}"):
        made = load(args.tokenizer, args.checkpoint, device, run_code=args.run_code, **chosen)
    return any_size(made, args.batch) if args.size == "native" else made


def cut_of(args: argparse.Namespace, tokenizer: "Tokenizer") -> "Cut | Native":
    """The crops that a tokenizer's authors use, or none; says so."""
    from msdd.tokenizers.folders import Cut, Native
    from msdd.tokenizers.systems import SYSTEMS

    if args.size == "native":
        print(f"{args.tokenizer}: every image {Native()}")
        return Native()
    system = SYSTEMS.get(args.tokenizer)
    crop = system.family.crop if system else "adm"
    cut = Cut(crop, args.resolution or tokenizer.resolution)
    print(f"{args.tokenizer}: of every image its {cut}")
    return cut
