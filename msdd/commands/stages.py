"""The stages of the pipeline as commands: each reads the params and calls one function."""

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdd.commands.parser import examples
from msdd.errors import MsddError, known_names
from msdd.pipeline import gpus, launch

if TYPE_CHECKING:
    from msdd.params.schema import Params

ROOT, PARAMS_FILE = Path("."), Path("params.yaml")
WILDCARDS = ("part", "encoder", "model", "student", "scale", "decode", "baseline")
NUMBERS = ("PART", "SCALE")
# What examples in help say: names of the preset demo, but for commands that it does not need.
ROWS = {"PART": "0", "MODEL": "msdd", "STUDENT": "msdd-1step", "SCALE": "0"}
ROWS |= {"BASELINE": "bicubic", "STAGE": "train"}
EXAMPLES = {"chain": ["msdd-finetuned"], "latents": ["taef2-c071d405"]}


def add(commands: argparse._SubParsersAction) -> None:
    for name, (call, described, *rows) in COMMANDS.items():
        example = " ".join(["msdd", name, *EXAMPLES.get(name, map(ROWS.get, rows))])
        command = commands.add_parser(
            name, help=described, description=described, epilog=examples(example)
        )
        for row in rows:
            command.add_argument(row.lower(), metavar=row, type=int if row in NUMBERS else str)
        command.set_defaults(call=call)


def params_of(args: argparse.Namespace) -> "Params":
    """The params, and as many threads as they say: before torch is imported, which reads these."""
    from msdd.params.load import load
    from msdd.pipeline import jobs, project_version

    project_version.check(ROOT)
    params = load(file := file_of_run(args))
    if file == PARAMS_FILE:
        jobs.check_rows(params, ROOT)
    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(params.cpu_threads)
    return params


def file_of_run(args: argparse.Namespace) -> Path:
    """The params file; in a job of Snakemake, the params as its run has read them."""
    from msdd.pipeline import engine

    return engine.params_file(args.params) if args.params == PARAMS_FILE else args.params


def task_command(name: str) -> Callable[[argparse.Namespace], None]:
    """The command of a stage whose module runs a task, with the arguments as wildcards."""

    def call(args: argparse.Namespace) -> None:
        given = vars(args)
        wildcards = {row: given[row] for row in WILDCARDS if row in given}
        params = params_of(args)
        run_stage(params, name, ROOT, **wildcards)
        if "DVC_STAGE" in os.environ:
            check_unedited(args.params, params, name, wildcards)

    return call


def training_command(name: str) -> Callable[[argparse.Namespace], None]:
    """`task_command` in a process for each GPU that the job was given."""

    def call(args: argparse.Namespace) -> None:
        if not launch.spread(sys.argv[1:]):
            task_command(name)(args)

    return call


def gpu_command(name: str) -> Callable[[argparse.Namespace], None]:
    """`task_command` on a GPU of its own, if the machine has one."""

    def call(args: argparse.Namespace) -> None:
        gpus.lease(1)
        task_command(name)(args)

    return call


def run_stage(params: "Params", name: str, root: Path, **wildcards: Any) -> dict[str, Any]:
    """Resolve the job of a stage and run it below `root`; returns what the stage reports.

    Raises MsddError, before torch is imported, for wildcards that name no row and for inputs that
    other params have made, or that were made of what has been made anew since.
    """
    from msdd.pipeline.agreement import check_inputs
    from msdd.pipeline.stages import STAGES
    from msdd.pipeline.task import resolve

    inputs = None
    if name == "latents" or wildcards.get("decode") in params.trained_elsewhere():
        from msdd.tokenizers import elsewhere

        inputs = elsewhere.inputs(params, name, wildcards, root)
    task = resolve(params, name, root, inputs, **wildcards)
    check_inputs(params, task.inputs, root)
    return import_module(STAGES[name].module).run(task, root)


def check_unedited(file: Path, params: "Params", stage: str, wildcards: dict[str, Any]) -> None:
    """DVC records the params that it finds after a job: MsddError if these are others by now."""
    from msdd.params.load import load
    from msdd.pipeline.agreement import differences
    from msdd.pipeline.task import params_of

    if edited := differences(*(params_of(p, stage, **wildcards) for p in (params, load(file)))):
        raise MsddError(
            f"{file} was edited while this ran, and DVC would record its values for what others "
            f"have made: {edited[0]}; start DVC again"
        )


def report(name: str) -> Callable[[argparse.Namespace], None]:
    """The command of a report, from the module of its name."""

    def call(args: argparse.Namespace) -> None:
        params = params_of(args)
        import_module(f"msdd.report.{name}").run(params, ROOT)

    return call


def track(args: argparse.Namespace) -> None:
    """What cannot be delivered waits, and is an error."""
    from msdd.tracking import delivery

    print(delivery.deliver(ROOT, patient=True))


def fingerprint(args: argparse.Namespace) -> None:
    from msdd.pipeline.stages import STAGES, fingerprint

    if args.stage not in STAGES:
        raise MsddError(f"no stage '{args.stage}'; {known_names(args.stage, STAGES)}")
    print(fingerprint(args.stage))


def code(args: argparse.Namespace) -> None:
    from msdd.data.digests import of_photographs
    from msdd.files import write_text
    from msdd.params.load import load
    from msdd.pipeline import layout, project_version
    from msdd.pipeline.stages import write_fingerprints
    from msdd.tokenizers import elsewhere

    project_version.check(ROOT)
    params = load(file_of_run(args))
    write_fingerprints(ROOT)
    write_text(ROOT / layout.code("photographs"), of_photographs(params.data) + "\n")
    elsewhere.write_digests(params, ROOT)


COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], None], *tuple[str, ...]]] = {
    "scatter": (
        task_command("scatter"),
        "prepare one part of the photographs, of `prepare_jobs`, counted from 0",
        "PART",
    ),
    "prepare": (task_command("prepare"), "cut the photographs into crops"),
    "latents": (
        gpu_command("latents"),
        "encode the crops by another tokenizer, for the rows of `models` that decode its latents",
        "ENCODER",
    ),
    "train": (training_command("train"), "stage 1: train a row of `models`", "MODEL"),
    "distil": (
        training_command("distil"),
        "stage 2: distil one scale, counted from 0, the coarsest, of a row of `students`",
        "STUDENT",
        "SCALE",
    ),
    "chain": (
        training_command("chain"),
        "stage 2: train a student of another mode as a whole",
        "STUDENT",
    ),
    "assemble": (task_command("assemble"), "put a student's scales together", "STUDENT"),
    "baseline": (gpu_command("baseline"), "measure mean-colour or bicubic", "BASELINE"),
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
    "speed": (
        report("speed"),
        "write reports/throughput.{csv,html,md,tex,png,svg} from what `msdd throughput` has timed",
    ),
    "track": (track, "deliver to MLflow what is not there yet"),
    "code": (code, "write .code/: digests of every stage's code and of the photographs"),
    "fingerprint": (fingerprint, "print the digest of a stage's code", "STAGE"),
}
