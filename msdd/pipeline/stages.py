"""The one table of stages: the module that does the work, and the params it depends on.

Snakemake's rules, DVC's stages and tasks (`msdd.pipeline.task`) read this table, so that a changed
param makes the same stages stale everywhere. The keys are those of the params file.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from msdd.files import write_text
from msdd.pipeline import layout
from msdd.pipeline.fingerprint import closure_digest


class Stage(NamedTuple):
    """A module with a function `run`, and dotted keys in which {wildcards} name rows."""

    module: str
    keys: tuple[str, ...]


STAGES = {
    "prepare": Stage("msdd.data.prepare", ("seed", "data")),
    "scatter": Stage("msdd.data.scatter", ("seed", "data", "prepare_jobs")),
    # The name of the latents says whose they are.
    "latents": Stage("msdd.train.latents", ("cpu_threads", "data.resolution")),
    "train": Stage(
        "msdd.train.stage1",
        ("seed", "cpu_threads", "data.resolution", "model", "stage1", "models.{model}"),
    ),
    # The teacher's folder says what the teacher is: `model` and `stage1` arrive as its digest.
    "distil": Stage("msdd.train.distil", ("seed", "cpu_threads", "distil", "students.{student}")),
    "chain": Stage("msdd.train.chain", ("seed", "cpu_threads", "distil", "students.{student}")),
    "assemble": Stage("msdd.train.assemble", ("students.{student}.model",)),
    "evaluate": Stage(
        "msdd.evaluate.stage", ("seed", "cpu_threads", "evaluate", "decodes.{decode}")
    ),
    "baseline": Stage(
        "msdd.evaluate.stage",
        ("seed", "cpu_threads", "evaluate", "data.resolution", "model.scales"),
    ),
    "throughput": Stage("msdd.speed.stage", ("cpu_threads", "throughput", "decodes")),
    "speed": Stage("msdd.report.speed", ()),
    "table1": Stage("msdd.report.table1", ("decodes", "students")),
    "table2": Stage("msdd.report.table2", ("decodes", "students")),
    "ablation": Stage("msdd.report.ablation", ("decodes", "ablations")),
    "figures": Stage("msdd.report.figures", ("decodes", "students")),
    # The page shows the params of every row.
    "report": Stage(
        "msdd.page.document",
        (
            *("seed", "cpu_threads", "data", "model", "stage1", "distil", "models", "students"),
            *("decodes", "ablations", "evaluate", "throughput"),
        ),
    ),
}

ROWS = ("models", "students", "decodes", "ablations")


def keys(stage: str, raw: Mapping[str, Any]) -> list[str]:
    """The dotted keys that a stage depends on: a section key by key, rows as a whole."""
    dotted: list[str] = []
    for key in STAGES[stage].keys:
        section = None if "." in key or key in ROWS else lookup(raw, key)
        dotted += [f"{key}.{name}" for name in section] if isinstance(section, dict) else [key]
    return dotted


def tracked_params(stage: str, raw: Mapping[str, Any], **wildcards: Any) -> dict[str, Any]:
    """The part of the params (`Params.raw()`) that a stage's result depends on, by dotted key."""
    named = [key.format(**wildcards) for key in keys(stage, raw)]
    return {key: lookup(raw, key) for key in named}


def lookup(raw: Any, key: str) -> Any:
    """The value under a dotted key in nested mappings. KeyError if there is none."""
    for part in key.split("."):
        raw = raw[part]
    return raw


def fingerprint(stage: str) -> str:
    """The code of a stage: `closure_digest` of its module, in hexadecimal."""
    return closure_digest(STAGES[stage].module)


def write_fingerprints(root: Path = Path(".")) -> None:
    """Write `.code/<stage>` of every stage."""
    for stage in STAGES:
        write_text(root / layout.code(stage), f"{fingerprint(stage)}\n")
