"""Mistakes in a params file, told in one line each: the key, what was given, what is allowed."""

import difflib
import json
from typing import Any

from pydantic import BaseModel, ValidationError

from msdd.errors import MsddError


def validate(model: type[BaseModel], raw: Any, name: str) -> Any:
    """`raw` as a `model`; otherwise an `MsddError` with a line for every wrong key or value."""
    try:
        return model.model_validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        schema = model.model_json_schema()
        lines = [f"{name}: {_line(schema, raw, mistake)}" for mistake in error.errors()]
        raise MsddError("\n".join(dict.fromkeys(lines))) from None


def _line(schema: dict, raw: Any, mistake: Any) -> str:
    *parents, last = mistake["loc"] or ("",)
    path, node = _walk(schema, mistake["loc"])
    key = ".".join(path) or "the file"
    if mistake["type"] == "extra_forbidden":
        return _unknown_key(".".join([*path, str(last)]), str(last), list(node["properties"]))
    if mistake["type"] == "missing":
        return f"{key} is missing; it must be {_allowed(schema, node)}"
    if last == "[key]":
        return (
            f"{key} is no name for a row; allowed: a-z, 0-9 and -, not - at the start, and nothing "
            "that YAML takes for more than a text, as null, true, 1e3 or a date"
        )
    return f"{key} is {_given(raw, path)}; it must be {_allowed(schema, node)}"


def _unknown_key(key: str, last: str, allowed: list[str]) -> str:
    near = difflib.get_close_matches(last, allowed, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{key} is an unknown key; {hint}allowed here: {', '.join(allowed)}"


def _walk(schema: dict, loc: tuple) -> tuple[list[str], dict]:
    """Follow an error's location through the schema as far as keys go; lists count as one value."""
    path, node = [], schema
    for part in loc:
        node = _resolve(schema, _table(node))
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif isinstance(node.get("additionalProperties", node.get("patternProperties")), dict):
            node = node.get("additionalProperties") or next(
                iter(node["patternProperties"].values())
            )
        else:
            break
        path.append(str(part))
    return path, _resolve(schema, node)


def _table(node: dict) -> dict:
    """The table, of what may be one or null."""
    return next((one for one in node.get("anyOf", ()) if "$ref" in one), node)


def _resolve(schema: dict, node: dict) -> dict:
    return schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def _given(raw: Any, path: list[str]) -> str:
    for part in path:
        raw = raw[part]
    text = json.dumps(raw, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _allowed(schema: dict, node: dict) -> str:
    """A JSON schema's values in words."""
    node = _resolve(schema, node)
    if "anyOf" in node:
        return " or ".join(_allowed(schema, one) for one in node["anyOf"])
    if "enum" in node or "const" in node:
        values = node.get("enum") or [node["const"]]
        return "one of " + ", ".join(values) if len(values) > 1 else str(values[0])
    if node["type"] == "array":
        return _allowed_list(schema, node)
    if node["type"] == "object":
        keys = ", ".join(node.get("properties", ())) or "names of rows"
        return f"a table with {keys}"
    return _WORDS[node["type"]] + _range(node)


_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "a text",
    "boolean": "true or false",
    "null": "null",
}


def _allowed_list(schema: dict, node: dict) -> str:
    if "prefixItems" in node:
        items = ", ".join(_allowed(schema, item) for item in node["prefixItems"])
        return f"a list of {len(node['prefixItems'])}: {items}"
    return f"a list, each {_allowed(schema, node['items'])}"


def _range(node: dict) -> str:
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    limits = [f"{word} {node[key]:g}" for key, word in words.items() if key in node]
    return " " + " and ".join(limits) if limits else ""
