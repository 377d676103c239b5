"""The one table of stages: the module that does the work, and the params it depends on.

Snakemake's rules, the checkpoints of a training and every other front read this table, so that a
changed parameter makes the same stages stale everywhere. The keys are raw: those of the file.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msdd.files import digest, write_text
from msdd.pipeline import layout
from msdd.pipeline.fingerprint import closure_digest
from msdd.tracking.run import row_params

if TYPE_CHECKING:
    from msdd.params.schema import Params


class Stage(NamedTuple):
    """A module with a function `run`, and dotted keys in which {wildcards} name rows."""

    module: str
    keys: tuple[str, ...]


STAGES = {
    "prepare": Stage("msdd.data.prepare", ("seed", "data")),
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
}

ROWS = ("models", "students", "decodes", "ablations")


def keys(stage: str, raw: Mapping[str, Any]) -> list[str]:
    """The dotted keys of a stage, sections resolved into their keys; rows stay whole, in order."""
    found: list[str] = []
    for key in STAGES[stage].keys:
        section = None if "{" in key or key in ROWS else lookup(raw, key)
        found += [f"{key}.{name}" for name in section] if isinstance(section, dict) else [key]
    return found


def tracked(stage: str, raw: Mapping[str, Any], **wildcards: Any) -> dict[str, Any]:
    """The part of the params (`Params.raw()`) that a stage's result depends on, by dotted key."""
    named = [key.format(**wildcards) for key in keys(stage, raw)]
    return {key: lookup(raw, key) for key in named}


def lookup(raw: Any, key: str) -> Any:
    """The value under a dotted key."""
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


class Task(NamedTuple):
    """One job of a stage, and everything that decides its result.

    wildcards: what names the job, by the names in `Stage.keys`. params: the tracked ones by dotted
    key, as they hold for the job's row. code: its fingerprint. inputs: digests of the files, by
    path.
    """

    stage: str
    wildcards: dict[str, Any]
    params: dict[str, Any]
    code: str
    inputs: dict[str, str]

    @property
    def key(self) -> str:
        """All of it as one digest: a checkpoint with another key belongs to another result."""
        return hashlib.sha256(json.dumps(self, sort_keys=True).encode()).hexdigest()


def task(
    stage: str, params: "Params", inputs: Iterable[Path], root: Path, **wildcards: Any
) -> Task:
    """The job of a stage, reading `inputs` below `root`; the stage itself tells what is missing."""
    digests = {str(path): digest(root / path) for path in inputs if (root / path).exists()}
    return Task(stage, wildcards, resolved(stage, params, **wildcards), fingerprint(stage), digests)


def resolved(stage: str, params: "Params", **wildcards: Any) -> dict[str, Any]:
    """The tracked params with what the job's row says in place of the defaults."""
    row = wildcards.get("student", wildcards.get("model", ""))
    decodes = {name: decode.model_dump(mode="json") for name, decode in params.decodes.items()}
    values = params.raw() | row_params(params, row) | {"decodes": decodes}
    return tracked(stage, values, **wildcards)
