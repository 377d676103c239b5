"""The command line: one parser for all commands, one line for every mistake. No torch for help."""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from msdd import output
from msdd.errors import MsddError
from msdd.files import expand_user
from msdd.pipeline import checkout, launch

COMMANDS = (  # files of msdd/commands, in the order of `msdd --help`
    "stages",
    "estimate",
    "evaluate",
    "export",
    "flops",
    "folders",
    "init",
    "plan",
    "provenance",
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
    checkout.run_own_code(arguments or sys.argv[1:])
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
    except SystemExit as stop:  # after --help, or a wrong option
        return stop.code
    try:
        args.call(args)
    except KeyboardInterrupt as stop:
        message = str(stop) or "run the same command again to continue from what was saved"
        if launch.is_first():
            print(f"msdd: interrupted; {message}", file=sys.stderr)
        return 130
    except (MsddError, OSError, ModuleNotFoundError) as error:
        if args.debug or not _is_plain(error):
            raise
        launch.yield_to_first()
        for line in _message(error).splitlines():
            print(f"msdd: error: {line}", file=sys.stderr)
        return 1
    return 0


def with_homes(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments with `~` in paths expanded, which a shell leaves in `--images=~/crops`."""
    for name, value in vars(args).items():
        if isinstance(value, Path):
            setattr(args, name, expand_user(value))
    return args


def _is_plain(error: Exception) -> bool:
    """Whether one line says all; a module that no extra installs is a fault of ours."""
    return not isinstance(error, ModuleNotFoundError) or _package(error) in OF_PIPELINE


def _package(error: ModuleNotFoundError) -> str:
    return (error.name or "").partition(".")[0]


def _message(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f'this command needs {_package(error)}: pip install "msdd[pipeline]"'
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def parser() -> argparse.ArgumentParser:
    """All commands; each sets `call`, a function of the parsed arguments."""
    main = argparse.ArgumentParser(
        prog="msdd", description="Multi-scale diffusion decoders and their one-step students."
    )
    main.add_argument(
        "--params", type=Path, default="params.yaml", metavar="FILE", help="default: params.yaml"
    )
    main.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        import_module(f"msdd.commands.{name}").add(commands)
    return main
