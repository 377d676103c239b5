"""The command line: parses, reads the params, calls one stage. No logic, and no torch for help."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from msdd import checkout
from msdd.errors import MsddError

if TYPE_CHECKING:
    from msdd.params import Params

ROOT = Path(".")
# Of msdd/commands: those with options of their own.
COMMAND_FILES: tuple[str, ...] = (
    "evaluate",
    "export",
    "flops",
    "folders",
    "provenance",
    "throughput",
    "tokenizers",
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors a user can mend are one line each on stderr, with exit code 1."""
    checkout.run_own_code(arguments or sys.argv[1:])
    args = parser().parse_args(arguments)
    try:
        args.call(args)
    except KeyboardInterrupt as stop:
        told = str(stop) or "the same command goes on where it stopped"
        print(f"msdd: interrupted; {told}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `msdd ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (MsddError, OSError) as error:
        if args.debug:
            raise
        for line in _message(error).splitlines():
            print(f"msdd: error: {line}", file=sys.stderr)
        return 1
    return 0


def _message(error: Exception) -> str:
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
    for name, (call, described, *rows) in COMMANDS.items():
        command = commands.add_parser(name, help=described, description=described)
        for row in rows:
            command.add_argument(row.lower(), metavar=row, type=int if row == "SCALE" else str)
        command.set_defaults(call=call)
    for name in COMMAND_FILES:
        import_module(f"msdd.commands.{name}").add(commands)
    _add_params(commands)
    return main


def _add_params(commands: argparse._SubParsersAction) -> None:
    described = "choose, check and expand parameters"
    command = commands.add_parser("params", help=described, description=described)
    actions = command.add_subparsers(title="actions", metavar="ACTION", required=True)
    use = actions.add_parser("use", help="make a preset of presets/ the params file")
    use.add_argument("preset", metavar="PRESET")
    use.set_defaults(call=params_use)
    for name, call, described in (
        ("expand", params_expand, "write workflow/rows.yaml, the flat tables of jobs"),
        ("schema", params_schema, "write presets/params.schema.json, for editors"),
        ("check", params_check, "check the params file and tell what it would run"),
    ):
        actions.add_parser(name, help=described).set_defaults(call=call)


def _params(args: argparse.Namespace) -> "Params":
    """The params, and as many threads as they say: before torch is imported, which reads these."""
    from msdd import presets
    from msdd.params import load

    params = load(args.params)
    presets.check_rows(params, ROOT)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(params.cpu_threads)
    return params


def prepare(args: argparse.Namespace) -> None:
    params = _params(args)
    from msdd.data import prepare

    prepare.run(params, ROOT)


def train(args: argparse.Namespace) -> None:
    params = _params(args)
    params.model_of(args.model)  # an unknown row is told before torch is imported
    from msdd.train import stage1

    stage1.run(params, args.model, ROOT)


def distil(args: argparse.Namespace) -> None:
    params = _params(args)
    scales = params.model_of(params.model_row(args.student)).scales
    if args.scale not in range(scales):
        raise MsddError(f"scale {args.scale} of '{args.student}' is not in 0 to {scales - 1}")
    from msdd.train import distil

    distil.run(params, args.student, args.scale, ROOT)


def assemble(args: argparse.Namespace) -> None:
    params = _params(args)
    params.model_row(args.student)
    from msdd.train import assemble

    assemble.run(params, args.student, ROOT)


def chain(args: argparse.Namespace) -> None:
    params = _params(args)
    if params.distil_of(args.student).mode == "per_scale":
        raise MsddError(f"'{args.student}' is per_scale: use `msdd distil` and `msdd assemble`")
    from msdd.train import chain

    chain.run(params, args.student, ROOT)


def evaluate(args: argparse.Namespace) -> None:
    params = _params(args)
    params.source(args.decode)
    from msdd.evaluate import stage

    stage.run(params, args.decode, ROOT)


def reference(args: argparse.Namespace) -> None:
    from msdd.layout import REFERENCES

    if args.name not in REFERENCES:
        raise MsddError(f"no reference '{args.name}'; known: {', '.join(REFERENCES)}")
    params = _params(args)
    from msdd.evaluate import stage

    stage.run_reference(params, args.name, ROOT)


def report(name: str) -> Callable[[argparse.Namespace], None]:
    """The command of a report, from the module of its name."""

    def call(args: argparse.Namespace) -> None:
        params = _params(args)
        import_module(f"msdd.report.{name}").run(params, ROOT)

    return call


def track(args: argparse.Namespace) -> None:
    """What cannot be delivered waits, which is no error."""
    from msdd import delivery

    try:
        print(delivery.deliver(ROOT, patient=True))
    except MsddError as error:
        print(f"msdd: {error}", file=sys.stderr)


def fingerprint(args: argparse.Namespace) -> None:
    from msdd.stages import STAGES, fingerprint

    if args.stage not in STAGES:
        raise MsddError(f"no stage '{args.stage}'; known: {', '.join(STAGES)}")
    print(fingerprint(args.stage))


def code(args: argparse.Namespace) -> None:
    from msdd.stages import write_fingerprints

    write_fingerprints(ROOT)


def params_use(args: argparse.Namespace) -> None:
    from msdd import presets
    from msdd.params import load

    print("\n".join(presets.use(args.preset, args.params)))
    presets.expand(load(args.params))


def params_expand(args: argparse.Namespace) -> None:
    from msdd import presets
    from msdd.layout import rows
    from msdd.params import load

    print(rows(), "written" if presets.expand(load(args.params)) else "is up to date")


def params_schema(args: argparse.Namespace) -> None:
    from msdd import presets
    from msdd.files import write_text

    write_text(presets.SCHEMA, presets.schema())
    print(presets.SCHEMA, "written")


def params_check(args: argparse.Namespace) -> None:
    from msdd import presets
    from msdd.params import load

    params = load(args.params)
    print("\n".join([*presets.plan(params), *presets.missing(params, ROOT)]))


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], *tuple[str, ...]]] = {
    "prepare": (prepare, "cut the photographs into crops"),
    "train": (train, "stage 1: train a row of `models`", "MODEL"),
    "distil": (distil, "stage 2: distil one scale of a row of `students`", "STUDENT", "SCALE"),
    "chain": (chain, "stage 2: train a student of another mode as a whole", "STUDENT"),
    "assemble": (assemble, "put a student's scales together", "STUDENT"),
    "reference": (reference, "measure mean-colour or bicubic", "NAME"),
    "table1": (
        report("table1"),
        "write reports/table1.{csv,html,md,tex}: tokenizers, published and measured",
    ),
    "table2": (report("table2"), "write reports/table2.{csv,html,md,tex}: teachers and students"),
    "ablation": (
        report("ablation"),
        "write reports/ablation.{csv,html,md,tex}: one comparison a row",
    ),
    "figures": (report("figures"), "draw reconstructions, pyramid, quality against speed, curves"),
    "track": (track, "deliver to MLflow what is not there yet"),
    "code": (code, "write .code/<stage>, the digest of every stage's code"),
    "fingerprint": (fingerprint, "print the digest of a stage's code", "STAGE"),
}
