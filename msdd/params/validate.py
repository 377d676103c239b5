"""Validation messages: pydantic errors as one line each."""

import json
import re
from collections.abc import Iterable
from itertools import filterfalse
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from msdd.errors import MsddError, did_you_mean

RENAMED = {
    "final_learning_rate": "min_lr_ratio",
    "null_probability": "cond_drop_prob",
    "time_mean": "logit_mean",
    "boxes": "regions",
    "paths": "variants",
    "levels": "quantisation",  # of protocols
    "evaluations": "nfe",  # of published metrics
}
OLD = {new: old for old, new in RENAMED.items()}
NOW = {("evaluate.images", "0"): "null"}  # values that mean another one now
NAMES = (
    "allowed: up to 100 of a-z, 0-9 and -, not - at the start, and nothing that YAML takes for "
    "more than a text, as null, true, 1e3 or a date"
)


def validate(model: type[BaseModel], raw: Any, name: str) -> Any:
    """`raw` as a `model`; otherwise an `MsddError` with a line for every wrong key or value."""
    try:
        return model.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        wishes: dict[str, dict[str, None]] = {}  # where a value may be one of several, one for each
        for mistake in filterfalse(_is_renamed, error.errors()):
            fact, wish = _fact_and_wish(model, raw, mistake)
            wishes.setdefault(fact, {})[wish] = None
        lines = [f"{name}: {fact} {', or '.join(several)}" for fact, several in wishes.items()]
        raise MsddError("\n".join(lines)) from None


def _is_renamed(mistake: Any) -> bool:
    """Whether a missing key is there under its old name, which is another mistake's message."""
    last = (mistake["loc"] or ("",))[-1]
    return mistake["type"] == "missing" and last in OLD and OLD[last] in mistake["input"]


def _fact_and_wish(model: type[BaseModel], raw: Any, mistake: Any) -> tuple[str, str]:
    """What is wrong, and what is allowed."""
    kind, last = mistake["type"], (mistake["loc"] or ("",))[-1]
    path, given, wanted = _follow(model, raw, mistake["loc"])
    key = ".".join(path) or "the file"
    if kind == "extra_forbidden" and isinstance(last, str):
        return _unknown(path, last, given, _table(wanted).model_fields)
    if kind == "missing" and isinstance(last, str):
        return f"{key} is missing;", _allowed(wanted)
    if last == "[key]":
        return f"{key} is no name for a row;", NAMES
    text = json.dumps(given, default=str, ensure_ascii=False)
    if (key, text) in NOW:
        return f"{key} {text} is now {NOW[key, text]}:", "change the value"
    fact = f"{key} is {text if len(text) <= 60 else f'{text[:57]}...'};"
    item = f"item {last + 1}: " if isinstance(last, int) else ""
    return fact, _allowed(wanted) if kind == "model_type" else item + _wish(mistake)


def _unknown(path: list[str], last: str, table: dict, fields: Iterable[str]) -> tuple[str, str]:
    key, new = ".".join([*path, last]), RENAMED.get(last)
    if new in fields:
        what = "delete the old key, the new one is there" if new in table else "rename the key"
        return f"{key} is now {'.'.join([*path, new])}:", what
    near = did_you_mean(last, fields)
    return f"{key} is an unknown key;", f"{near}allowed here: {', '.join(fields)}"


def _follow(wanted: Any, raw: Any, loc: tuple) -> tuple[list[str], Any, Any]:
    """The keys of a location, the value there and the type that it should have.

    Items of lists and names of alternatives are no keys.
    """
    path = []
    for part in loc:
        rows, fields = get_origin(wanted) is dict, getattr(_table(wanted), "model_fields", {})
        if not isinstance(raw, dict) or not (rows or part in fields):
            break
        wanted = get_args(wanted)[1] if rows else fields[part].annotation
        path, raw = [*path, part], raw.get(part)
    return path, raw, wanted


def _table(wanted: Any) -> type[BaseModel] | None:
    """The table, of what may be one or null."""
    return next((one for one in (wanted, *get_args(wanted)) if hasattr(one, "model_fields")), None)


def _allowed(wanted: Any) -> str:
    """What a missing value should be, by pydantic's word on one that nothing can be."""
    if get_origin(wanted) is dict:
        return "it should be a table of rows by name"
    if table := _table(wanted):
        return f"it should be a table with {', '.join(table.model_fields)}"
    try:
        TypeAdapter(wanted).validate_python(object(), strict=True)
    except ValidationError as error:
        return ", or ".join(dict.fromkeys(map(_wish, error.errors())))
    return "it may be anything"


def _wish(mistake: Any) -> str:
    """What pydantic says that a value should be, and of several texts the nearest."""
    wish, given = mistake["msg"].replace("Input should", "it should"), mistake["input"]
    if mistake["type"] != "literal_error" or not isinstance(given, str):
        return wish
    return did_you_mean(given, re.findall(r"'([^']*)'", wish)) + wish
