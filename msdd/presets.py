"""What is derived from a params file, and where params files come from."""

import json
from pathlib import Path
from typing import Any

import yaml

from msdd import layout
from msdd.errors import MsddError
from msdd.files import write_text
from msdd.params import Params, load

FOLDER = "presets"
SCHEMA = Path(FOLDER) / "params.schema.json"
HEADER = "# Written by `msdd params expand` from params.yaml; do not edit.\n"


def use(preset: str, target: Path) -> list[str]:
    """Make `presets/<preset>.yaml`, beside `target`, the params file; tell what was done.

    A params file that equals no preset holds somebody's work and is kept as `<target>.bak`.
    """
    folder = target.parent / FOLDER
    texts = {path.stem: _for_root(path) for path in sorted(folder.glob("*.yaml"))}
    if preset not in texts:
        known = ", ".join(texts) or "none"
        raise MsddError(f"{folder} has no preset '{preset}'; known: {known}")
    load(folder / f"{preset}.yaml")
    told = _keep(target, texts)
    write_text(target, texts[preset])
    return [*told, f"{target} is now the preset {preset}"]


def _for_root(preset: Path) -> str:
    """A preset's text as it stands one folder higher: the editor's schema lies elsewhere."""
    return preset.read_text(encoding="utf-8").replace("$schema=", f"$schema={FOLDER}/", 1)


def _keep(target: Path, texts: dict[str, str]) -> list[str]:
    if not target.exists() or target.read_text(encoding="utf-8") in texts.values():
        return []
    backup = target.with_name(f"{target.name}.bak")
    write_text(backup, target.read_text(encoding="utf-8"))
    return [f"{target} had changes of its own: kept as {backup}"]


def rows(params: Params) -> dict[str, dict[str, Any]]:
    """Flat tables of jobs (models, scales, students, decodes) with the folders or files they make.

    Rows are ragged, since a student has as many scales as its model, and `foreach` does not nest.
    """
    return {
        "models": {row: {"path": str(layout.stage1(row))} for row in params.models},
        "scales": dict(job for row in params.students for job in _scales(params, row)),
        "students": {row: _student(params, row) for row in params.students},
        "decodes": {row: _decode(params, row) for row in params.decodes},
    }


def _scales(params: Params, student: str) -> list[tuple[str, dict[str, Any]]]:
    model = params.model_row(student)
    return [
        (f"{student}-scale{k}", _scale(model, student, k))
        for k in range(params.model_of(model).scales)
    ]


def _scale(model: str, student: str, k: int) -> dict[str, Any]:
    path = str(layout.scale(model, student, k))
    return {"model": model, "student": student, "scale": k, "path": path}


def _student(params: Params, student: str) -> dict[str, Any]:
    model = params.model_row(student)
    scales = params.model_of(model).scales
    return {"model": model, "scales": scales, "path": str(layout.assembled(model, student))}


def _decode(params: Params, decode: str) -> dict[str, Any]:
    model, student = params.source(decode)
    path = layout.evaluation(model, student, decode)
    return {"model": model, "of": str(path.parent.parent), "path": str(path)}


def expand(params: Params, path: Path | None = None) -> bool:
    """Write the tables of jobs where they differ; True if they did."""
    path = path or layout.rows()
    text = HEADER + yaml.safe_dump(rows(params), sort_keys=False, width=100)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    write_text(path, text)
    return True


def schema() -> str:
    """The JSON schema of a params file, for editors."""
    fields = Params.model_json_schema()
    fields["title"] = "Parameters of msdd"
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def plan(params: Params) -> list[str]:
    """The rows, the number of jobs and the images to train, in a few lines."""
    tables = rows(params)
    stage1 = sum(params.stage1_of(row).images for row in params.models)
    distil = sum(params.distil_of(job["student"]).images for job in tables["scales"].values())
    lines = [f"{table}: {', '.join(tables[table]) or 'none'}" for table in _TABLES]
    jobs = sum(map(len, tables.values())) + len(layout.REFERENCES) + 3  # prepare, table, figures
    return [*lines, f"jobs: {jobs}", f"images: {stage1:,} in stage 1, {distil:,} in distillation"]


_TABLES = ("models", "students", "decodes")
