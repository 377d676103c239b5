"""What evaluations of pairs and of samples by the command line share: checks of paths before, and
what is said and written at the end."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msdd.commands.options import STANDARD, put_json
from msdd.errors import MsddError

SETS = ("originals", "reconstructions", "images", "samples", "reference")
READ = (*SETS, "against", "checkpoint")
PROVENANCE = ("commit", "dirty", "versions", "device")


@contextmanager
def told_what_is_kept(args: argparse.Namespace) -> Iterator[None]:
    """Without --work, Ctrl-C leaves nothing to go on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if args.work:  # which has kept what was measured
            raise
        raise KeyboardInterrupt("nothing is kept; with --work DIR it would go on") from stop


def check_paths(args: argparse.Namespace) -> None:
    """MsddError for what could be told only after the measurement."""
    from msdd.files import check_no_input, check_place

    outputs = {
        "--json": args.json,
        "--export-reference": args.export_reference,
        "--export-latents": args.export_latents,
    }
    outputs = {option: path for option, path in outputs.items() if path != STANDARD}
    inputs = inputs_of(args)
    for option, path in outputs.items():
        if path:
            check_place(path, option)
            check_no_input(path, option, inputs)
            inputs.append((option, path))  # the second one would replace the first
    if args.work and args.work.exists() and not args.work.is_dir():
        raise MsddError(f"--work {args.work} is a file; name a folder")
    if args.work:
        check_place(args.work / "state", "--work")
        check_work_apart(args)


def inputs_of(args: argparse.Namespace) -> list[tuple[str, Path]]:
    """The files and folders that are read, each with its option."""
    from msdd.files import expand_user
    from msdd.tokenizers.user_code import file_of

    given = [(f"--{name}", getattr(args, name)) for name in READ]
    given += [("--protocol", name) for name in args.protocol or ()]
    if args.tokenizer:
        given.append(("--tokenizer", file_of(args.tokenizer.rpartition(":")[0]) or args.tokenizer))
    paths = [(option, expand_user(value)) for option, value in given if value]
    return [(option, path) for option, path in paths if path.exists()]


def check_work_apart(args: argparse.Namespace) -> None:
    """Pictures that are kept among the images would be measured by the next run."""
    for option in SETS:
        folder = getattr(args, option)
        if folder and args.work.resolve().is_relative_to(folder.resolve()):
            lies = f"--work {args.work} lies in --{option} {folder}"
            raise MsddError(f"{lies}, which would measure its pictures: name a folder apart")


def lower_batch(document: dict) -> str:
    """What to do where memory lacks, with the batch that is in use; only the first process, whose
    document is not empty, knows it."""
    return f"lower --batch, {document['batch']} now" if document else "lower --batch"


def origin(device) -> dict:
    """What a repeated run on the device has in common."""
    from msdd.pipeline.environment import context, cpu, gpu

    here = context() | {"device": gpu(device) or cpu()}
    return {"provenance": {name: here[name] for name in PROVENANCE}}


def put_and_show(
    report: dict, args: argparse.Namespace, exports: list[Callable], other, show: tuple
) -> None:
    """Write the files that were asked for, then show the metrics, also where a file failed.

    show: the modules of the report's kind with `table` and `notes`, and with `comparison`
    """
    text, compare = show
    try:
        with ExitStack() as files:  # each is tried, whatever becomes of the others
            for export in exports:
                files.callback(export)
            if args.json:
                files.callback(put_json, report, args.json)
    finally:
        out = sys.stderr if args.json == STANDARD else sys.stdout
        print(text.table(report), *text.notes(report), sep="\n", file=out)
        if other:
            print(compare.comparison(report, other), file=out)
