"""The jobs of a params file as flat tables, and what is derived from them.

A row of params may need several jobs. DVC reads the tables from `workflow/rows.yaml`.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from msdd.errors import MsddError
from msdd.files import expand_user, holds, write_text
from msdd.listing import expanded
from msdd.params.schema import Params
from msdd.params.sections import BASELINES
from msdd.pipeline import layout, receipts
from msdd.pipeline.stages import ROWS
from msdd.urls import is_url

TRAINED = ("models", "scales", "chains")
MEASURED = ("decodes", "elsewhere")
NO_JOBS = ("prepare", "order")  # of the tables
HEADER = "# Written by `msdd params expand` from params.yaml; do not edit.\n"


class Job(NamedTuple):
    """A job that makes data, models or evaluations: its stage, what names it, and what it makes."""

    stage: str
    wildcards: dict[str, Any]
    artefact: Path

    @property
    def command(self) -> str:
        """As a user types it."""
        return " ".join(["msdd", self.stage, *map(str, self.wildcards.values())])


def named(params: Params) -> list[Job]:
    """All jobs of the rows, those that others read first."""
    tables = rows(params)
    wildcards = {
        "scatter": [({"part": job["part"]}, job["path"]) for job in tables["parts"].values()],
        "prepare": [({}, layout.prepared())],
        "latents": [({"encoder": name}, job["path"]) for name, job in tables["latents"].items()],
        "train": [({"model": row}, job["path"]) for row, job in tables["models"].items()],
        "distil": [
            ({"student": job["student"], "scale": job["scale"]}, job["path"])
            for job in tables["scales"].values()
        ],
        "assemble": [({"student": row}, job["path"]) for row, job in tables["students"].items()],
        "chain": [({"student": row}, job["path"]) for row, job in tables["chains"].items()],
        "baseline": [({"baseline": name}, layout.baseline(name)) for name in BASELINES],
        "evaluate": [
            ({"decode": row}, job["path"])
            for table in MEASURED
            for row, job in tables[table].items()
        ],
    }
    return [Job(stage, of, Path(path)) for stage, some in wildcards.items() for of, path in some]


def rows(params: Params) -> dict[str, dict[str, Any]]:
    """Flat tables of jobs with the folders or files they make.

    `parts` are those of several jobs that prepare, and `prepare` is what their gathering waits for:
    without parts the digest of the photographs, which receipts of parts hold.
    `scales` and `students` hold students that are assembled from denoisers of single scales,
    `chains` those that are trained as a whole. Rows are ragged, since a student has as many scales
    as its model, and `foreach` does not nest. `decodes` are of models that are trained here,
    `elsewhere` has the others. `order` is that of the rows, which DVC does not see
    in a table.
    """
    modes = {row: params.distil_of(row).mode for row in params.students}
    chains = [row for row in modes if modes[row] != "per_scale"]
    assembled = [row for row in modes if modes[row] == "per_scale"]
    parts = layout.parts(params.prepare_jobs)
    waits_for = layout.RECEIPTS / "parts" if parts else layout.code("photographs")
    return {
        "parts": {part.name: {"part": k, "path": str(part)} for k, part in enumerate(parts)},
        "prepare": {"waits_for": str(waits_for)},
        "latents": {name: {"path": str(layout.latents(name))} for name in params.encoding()},
        "models": {row: _model(params, row) for row in params.models},
        "scales": dict(job for row in assembled for job in _scales(params, row)),
        "students": {row: _student(params, row) for row in assembled},
        "chains": {row: _chain(params, row) for row in chains},
        "decodes": {row: _decode(params, row) for row in params.trained_here()},
        "elsewhere": {row: _elsewhere(params, row) for row in params.trained_elsewhere()},
        "order": {table: list(getattr(params, table)) for table in ROWS},
    }


def _model(params: Params, row: str) -> dict[str, Any]:
    """`images` represents everything that is read of images, here and below."""
    return {"images": _images(params, row), "path": str(layout.stage1(row))}


def _images(params: Params, model: str) -> str:
    return str(layout.images(params.latents_of(model)))


def _scales(params: Params, student: str) -> list[tuple[str, dict[str, Any]]]:
    model = params.model_row(student)
    return [
        (f"{student}-scale{k}", _scale(params, model, student, k))
        for k in range(params.model_of(model).scales)
    ]


def _scale(params: Params, model: str, student: str, k: int) -> dict[str, Any]:
    named = {"model": model, "student": student, "scale": k}
    return named | {"images": _images(params, model), "path": str(layout.scale(model, student, k))}


def _student(params: Params, student: str) -> dict[str, Any]:
    model = params.model_row(student)
    scales = params.model_of(model).scales
    return {"model": model, "scales": scales, "path": str(layout.assembled(model, student))}


def _chain(params: Params, student: str) -> dict[str, Any]:
    """`start` is the folder whose decoders are trained on: another student's or the teacher's."""
    model, start = params.model_row(student), params.students[student].start
    begun = layout.assembled(model, start) if start else layout.stage1(model)
    read = {"images": _images(params, model), "start": str(begun)}
    return {"model": model, **read, "path": str(layout.assembled(model, student))}


def _decode(params: Params, decode: str) -> dict[str, Any]:
    model, student = params.source(decode)
    path = layout.evaluation(model, student, decode)
    return {"model": model, "of": str(path.parent.parent), "path": str(path)}


def _elsewhere(params: Params, decode: str) -> dict[str, Any]:
    return {"path": str(layout.evaluation(*params.source(decode), decode))}


def expand(params: Params, root: Path = Path(".")) -> bool:
    """Write the tables of jobs below `root` where they differ; True if they did.

    Receipts of rows that are gone are hidden from DVC.
    """
    path, tables = root / layout.rows(), rows(params)
    receipts.hide(receipts_of(tables), root)
    new = _text(tables)
    if holds(path, new):
        return False
    write_text(path, new)
    return True


def agrees(params: Params, path: Path) -> bool:
    """Whether `path` holds the tables of jobs of these params."""
    return holds(path, text(params))


def check_rows(params: Params, root: Path = Path(".")) -> None:
    """DVC reads its jobs from the rows file: MsddError if one is there that is outdated."""
    path = root / layout.rows()
    if path.exists() and not agrees(params, path):
        raise MsddError(f"{layout.rows()} is outdated: run `msdd params expand`, or `make repro`")


def text(params: Params) -> str:
    return _text(rows(params))


def _text(tables: dict[str, dict[str, Any]]) -> str:
    """A row a line, as JSON, which is YAML 1.1 and 1.2 and fast: every job compares it."""
    return "".join([HEADER, "rows:\n", *(_table(*table) for table in tables.items())])


def _table(name: str, table: dict[str, Any]) -> str:
    lines = [f"    {json.dumps(row)}: {json.dumps(job)}\n" for row, job in table.items()]
    return "".join([f"  {name}:\n" if lines else f"  {name}: {{}}\n", *lines])


def receipts_of(tables: dict[str, dict[str, Any]]) -> list[Path]:
    """Those of all jobs of the rows."""
    trained = [job["path"] for name in TRAINED for job in tables[name].values()]
    measured = [job["path"] for name in MEASURED for job in tables[name].values()]
    measured += [str(layout.baseline(name)) for name in BASELINES]
    parts = [job["path"] for job in tables["parts"].values()]
    kinds = {"parts": parts, "trainings": trained, "evaluations": measured}
    return [layout.receipt(kind, Path(path)) for kind, paths in kinds.items() for path in paths]


def plan(params: Params) -> dict[str, str]:
    """The rows of each table, the number of `jobs` and the `images` to train, in words."""
    tables = rows(params)
    stage1 = sum(params.stage1_of(row).images for row in params.models)
    trained = [job["student"] for job in tables["scales"].values()] + list(tables["chains"])
    distil = sum(params.distil_of(student).images for student in trained)
    names = {table: list(getattr(params, table)) for table in ROWS}
    told = {table: ", ".join(rows) or "none" for table, rows in names.items()}
    jobs = sum(len(table) for name, table in tables.items() if name not in NO_JOBS)
    jobs += len(BASELINES) + 1 + len(layout.REPORTS)
    trained_on = f"{stage1:,} in stage 1, {distil:,} in distillation"
    return told | {"jobs": str(jobs), "images": trained_on}


def missing(params: Params, root: Path = Path(".")) -> list[str]:
    """One line for photographs on disk that are not there yet; the plan holds without them."""
    named = {key: getattr(params.data, key) for key in ("photographs", "held_out")}
    return [
        f"data.{key}: there is no {gone}; `prepare` cannot run before it is there"
        for key, value in named.items()
        if value not in (None, "embedded") and not is_url(value)
        if (gone := first_missing(value, root))
    ]


def kind(value: str) -> str:
    return "archive" if value.lower().endswith((".tar", ".parquet")) else "folder"


def first_missing(value: str, root: Path) -> str:
    """What a value names that is not there, in words; of several archives the first. Empty if all
    is there."""
    files = expanded(expand_user(value, root))
    missing = [file for file in files if not file.exists()]
    if files and not missing:
        return ""
    first = value if missing == files else os.path.relpath(missing[0], root)
    return f"{kind(value)} {first}"
