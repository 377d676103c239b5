"""The runs under which MLflow collects those of stages.

A row of `models` or `students` has one, with its trainings. A decode, or a baseline, has one with
its measurements; it carries their figures, so that decodes stand side by side in MLflow's table.
"""

import hashlib
import json
import re
from typing import TYPE_CHECKING

from msdd.errors import MsddError

if TYPE_CHECKING:
    from msdd.pipeline.task import Task


def key(*parts: object) -> str:
    """A digest of values that JSON can hold: 16 hexadecimal digits of SHA-256."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def searchable(name: str) -> str:
    """A run's key as a text that may stand in MLflow's filters, which no quoting saves: one that
    has quotes becomes its digest."""
    return name if re.fullmatch(r"[\w.-]+", name, re.ASCII) else key(name)


def of_row(name: str, params: dict, tags: dict[str, object] | None = None) -> dict:
    """The parent of a row, ready for JSON; other params make another one."""
    tags = {"group": "row", "row": name, "params_digest": key(params), **(tags or {})}
    return {"name": name, "key": key(name, params), "params": params, "tags": tags}


def of_decode(task: "Task", name: str, params: dict) -> dict:
    """The parent of the measurements of a decode or a baseline, ready for JSON.

    task:   of its evaluation. Another training, decode or way to evaluate makes another parent.
    params: all that MLflow shows for it.
    """
    settings = (task.decode, task.evaluate)
    plain = [part.model_dump(mode="json") for part in settings if part]
    digest = key("decode", name, task.row_params, plain)
    tags = {"group": "comparison", "row": name, "stage": "decode", "params_digest": digest}
    tags |= {"model": task.model, "student": task.student}
    return {"name": name, "key": digest, "params": params, "tags": tags, "decode": name}


def of_measurement(task: "Task", name: str, params: dict) -> list[dict]:
    """The parents that carry the figures of a decode: its own, and that of its row, if it is the
    first decode of the row."""
    first = [of_row(task.row, task.row_params, model_of(task)) | {"decode": name}]
    return [of_decode(task, name, params), *(first if task.first_decode else [])]


def of_task(task: "Task", params: dict, measured: "dict[str, Task]") -> list[dict]:
    """All parents of a run; the first is the one that MLflow shows it under.

    measured: the evaluations whose figures it has, by decode.
    """
    carrying = [one for name, of in measured.items() for one in of_measurement(of, name, params)]
    if task.stage in ("evaluate", "baseline"):
        return carrying
    return [of_row(task.row, task.row_params, model_of(task)), *carrying]


def model_of(task: "Task") -> dict[str, str]:
    """The row of `models` behind a student's run, as a tag."""
    return {"model": task.model} if task.student else {}


def read(record: dict) -> list[dict]:
    """The parents in a run's record; one of an earlier version names its row alone."""
    if "parents" in record:
        return record["parents"]
    if missing := [key for key in ("row", "row_key", "row_params") if key not in record]:
        raise MsddError(
            f"the record of the run {record['name']} has no {missing[0]}; delete its folder"
        )
    tags = {name: record["tags"][name] for name in ("row", "model") if name in record["tags"]}
    row = {"name": record["row"], "key": record["row_key"], "params": record["row_params"]}
    return [row | {"tags": tags}]
