"""The page of all params, `docs/params.md`, generated from the JSON schema of a params file."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from msdd.params.schema import Params

PATH = Path("docs/params.md")
ROW = "<row>"  # stands for the name of a row
OVERRIDES = "Overrides"  # definitions of that ending have the keys of a section, all optional
WORDS = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "null",
}
HEAD = """\
# All params

Written by `msdd params schema` from `msdd/params/sections.py` and `schema.py`; do not edit.

A params file contains every key below. Only rows are short: a row of `models` or `students`
contains the keys whose values differ from the defaults in `model`, `stage1` and `distil`.

The last column names the stages that read a key. A change of the key makes their results stale, and
those of all stages that follow from them.
"""


def page(readers: Mapping[str, Iterable[str]]) -> str:
    """The page in Markdown: a table for each section and for each kind of rows.

    Args:
        readers: by stage, the dotted keys that it reads; {wildcards} stand for names of rows.
    """
    schema = Params.model_json_schema()
    tables = dict(_tables(schema["properties"]))
    values = {key: node for key, node in schema["properties"].items() if key not in tables}
    lines = [HEAD, "## Outside of sections\n", *_lines("", values, (), readers)]
    for path, name, text in tables.values():
        lines += _section(schema, path, name, text, readers)
    return "\n".join(lines) + "\n"


def _tables(fields: dict[str, dict]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """By key: dotted key, name of the definition and meaning, of what is a section or has rows."""
    for key, node in fields.items():
        rows = [*node.get("patternProperties", {}).values()]
        if name := _definition(rows[0] if rows else node):
            yield key, (f"{key}.{ROW}" if rows else key, name, node.get("description", ""))


def _definition(node: dict) -> str | None:
    """The name of the section that a value is, or may be besides null."""
    refs = [one["$ref"] for one in (node, *node.get("anyOf", ())) if "$ref" in one]
    return refs[0].rsplit("/", 1)[1] if refs else None


def _section(
    schema: dict, path: str, name: str, text: str, readers: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    """The heading and the keys of a section, then the sections inside it."""
    section, base = schema["$defs"][name], _base(schema, name)
    fields = {key: node for key, node in section["properties"].items() if key not in base}
    yield f"\n## `{path}`\n"
    yield " ".join(map(_sentence, filter(None, [section["description"], text]))) + "\n"
    if base:
        yield f"It may also contain every key of `{_overridden(name)}`.\n"
    yield from _lines(f"{path}.", fields, section.get("required", ()), readers)
    for key, (_, inner, description) in _tables(fields):
        if not _base(schema, inner):
            yield from _section(schema, f"{path}.{key}", inner, description, readers)


def _base(schema: dict, name: str) -> dict[str, dict]:
    """The keys of the section that a definition overrides; nothing if it overrides none."""
    overrides = name.endswith(OVERRIDES)
    return schema["$defs"][name.removesuffix(OVERRIDES)]["properties"] if overrides else {}


def _overridden(name: str) -> str:
    """The section of a params file that a definition overrides."""
    return name.removesuffix(OVERRIDES).lower()


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _lines(
    prefix: str,
    fields: dict[str, dict],
    required: Iterable[str],
    readers: Mapping[str, Iterable[str]],
) -> Iterator[str]:
    """A table in Markdown. Only in rows it matters which keys are required."""
    yield "| key | type and range | meaning | stages |"
    yield "|---|---|---|---|"
    for key, node in fields.items():
        mark = " (required)" if ROW in prefix and key in required else ""
        cells = (f"`{key}`{mark}", _kind(node), node["description"], _stages(prefix + key, readers))
        yield f"| {' | '.join(cells)} |"


def _stages(key: str, readers: Mapping[str, Iterable[str]]) -> str:
    """The stages that read a key itself, all of the section around it or a part of it."""

    def reads(pattern: str) -> bool:
        read = re.sub(r"\{\w+\}", ROW, pattern)
        return f"{key}.".startswith(f"{read}.") or read.startswith(f"{key}.")

    return ", ".join(stage for stage, patterns in readers.items() if any(map(reads, patterns)))


def _kind(node: dict) -> str:
    """A JSON schema's values in words, with their range."""
    if "anyOf" in node:
        return " or ".join(map(_kind, node["anyOf"]))
    if name := _definition(node):
        return f"keys of `{_overridden(name)}`" if name.endswith(OVERRIDES) else "section"
    if values := node.get("enum") or [node[key] for key in ("const",) if key in node]:
        return " or ".join(f"`{value}`" for value in values)
    if "prefixItems" in node:
        return f"list of {len(node['prefixItems'])} (each {_kind(node['prefixItems'][0])})"
    if "items" in node:
        return f"list (each {_kind(node['items'])})"
    return WORDS[node["type"]] + _range(node)


def _range(node: dict) -> str:
    if "pattern" in node:
        return f" of the form `{node['pattern']}`"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {node[key]:g}" for key, sign in signs.items() if key in node]
    return f" {' and '.join(limits)}" if limits else ""
