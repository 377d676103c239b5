"""The command line: one parser for all commands, one line for every mistake. No torch for help."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from msdd import output
from msdd.commands.parser import Parser, leaves
from msdd.errors import MsddError
from msdd.files import expand_user, reason
from msdd.pipeline import checkout, launch, stop
from msdd.pipeline.stop import AGAIN, EXIT, Stopped
from msdd.terminal import paint, silent
from msdd.unexpected import hide_secrets
from msdd.urls import without_secrets
from msdd.version import __version__

COMMANDS = (  # files of msdd/commands, in the order of `msdd --help`
    "stages",
    "compare",
    "completion",
    "doctor",
    "estimate",
    "evaluate",
    "export",
    "flops",
    "folders",
    "init",
    "mlflow",
    "plan",
    "provenance",
    "report",
    "throughput",
    "tokenizers",
    "params",
)
OF_PIPELINE = ("dvc", "matplotlib", "mlflow", "networkx", "pandas", "snakemake")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors a user can mend are one line each on stderr, with exit code 1.

    Output that nobody reads to its end is no error; output that a full disk does not take is one,
    told when all is done.
    """
    checkout.run_own_code(sys.argv[1:] if arguments is None else arguments)
    hide_secrets()
    with output.lasting() as out:
        status = _run(arguments)
        out.flush()
        if out.lost and not isinstance(out.lost, BrokenPipeError):
            print(f"msdd: error: standard output: {out.lost.strerror}", file=sys.stderr)
            return status or 1
        return status


def _run(arguments: list[str] | None) -> int:
    try:
        args = with_homes(parser().parse_args(arguments))
        stop.allow(args.max_runtime)
    except SystemExit as ended:  # after --help, or a wrong option
        return int(ended.code or 0)
    try:
        with silent(args.quiet):
            args.call(args)
    except KeyboardInterrupt as interrupt:
        message = str(interrupt) or AGAIN
        if launch.is_first():
            print(f"msdd: interrupted; {message}", file=sys.stderr)
        return 130
    except Stopped as stopped:
        print(f"msdd: stopped by {stopped}; {AGAIN}", file=sys.stderr)
        return EXIT
    except (MsddError, OSError, ModuleNotFoundError, MemoryError, RuntimeError) as error:
        message = None if args.debug else _message(error)
        if message is None:
            raise
        launch.yield_to_first()
        for line in without_secrets(message).splitlines():
            print(f"msdd: {paint('error:', 'red', sys.stderr)} {line}", file=sys.stderr)
        return 1
    return 0


def with_homes(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with `~` in paths expanded, which a shell leaves in `--images=~/crops`."""
    for name, value in vars(args).items():
        if isinstance(value, Path):
            setattr(args, name, expand_user(value))
        elif isinstance(value, list):
            many = [expand_user(one) if isinstance(one, Path) else one for one in value]
            setattr(args, name, many)
    return args


def _message(error: Exception) -> str | None:
    """What says all; None for a fault of ours, such as a module that no extra installs."""
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        told = f'this command needs {package}: pip install "msdd[pipeline]"'
        return told if package in OF_PIPELINE else None
    if isinstance(error, MemoryError | RuntimeError):
        return _lack_of_memory(error)
    if isinstance(error, OSError) and error.filename:
        return reason(error)
    return str(error) or type(error).__name__


def _lack_of_memory(error: MemoryError | RuntimeError) -> str | None:
    """Of what no batch is to blame for, such as weights alone."""
    from msdd.device import first_line, lacks_memory

    cure = "free some, or choose smaller networks"
    return f"out of memory: {cure} ({first_line(error)})" if lacks_memory(error) else None


def parser() -> argparse.ArgumentParser:
    """All commands; each sets `call`, a function of the parsed arguments."""
    main = Parser(
        prog="msdd",
        description="Multi-scale diffusion decoders and their one-step students.",
        epilog="`msdd COMMAND --help` has examples; `msdd doctor` says what is missing here.",
    )
    main.add_argument("--version", action="version", version=f"msdd {__version__}")
    _add_common(main, params=Path("params.yaml"), limit=None, quiet=False, debug=False)
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"msdd.commands.{name}").add(commands)
    main.set_defaults(main=main)  # of which `completion` tells a shell
    for command in leaves(main):
        nothing = argparse.SUPPRESS  # or its default would replace what stands before the command
        group = command.add_argument_group("options of every command")
        _add_common(group, params=nothing, limit=nothing, quiet=nothing, debug=nothing)
    return main


def _add_common(
    to: argparse._ActionsContainer, params: object, limit: object, **off: object
) -> None:
    """Options that are allowed before and after the command."""
    told = "default: params.yaml"
    to.add_argument("--params", type=Path, default=params, metavar="FILE", help=told)
    told = f"90m, 1h30m: then a training or an evaluation saves, and the exit code is {EXIT}"
    to.add_argument("--max-runtime", type=stop.duration, default=limit, metavar="TIME", help=told)
    for name, told in (
        ("quiet", "show neither progress nor remarks: only results and errors"),
        ("debug", "show tracebacks"),
    ):
        to.add_argument(f"--{name}", action="store_true", default=off[name], help=told)
