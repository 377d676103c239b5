"""The resolved params of every row, and where rows differ."""

from typing import Any

from msdd.params.dotted import dotted, written
from msdd.params.schema import Params
from msdd.params.sections import Section


def resolved(params: Params, decode: str) -> dict[str, Any]:
    """Everything that decides a row of the tables, by dotted key, with its overrides applied; of
    one that was trained elsewhere the row alone."""
    model, student = params.source(decode)
    sections: dict[str, Section] = {}
    if model:
        sections = {"model": params.model_of(model), "stage1": params.stage1_of(model)}
    if student:
        sections["distil"] = params.distil_of(student)
    row = params.decodes[decode].model_dump(mode="json", exclude={"of"})
    nested = {name: section.model_dump(mode="json") for name, section in sections.items()}
    return {"model": model, "student": student} | dotted({"decode": row} | nested)


def of_rows(params: Params, decodes: list[str]) -> dict[str, Any]:
    """`shared`: what holds for all rows that have the key; `keys` and `rows`: the others.

    A row is a list as long as `keys`, of places in `values`; None where it has no such key.
    `without` names the rows that lack a section.
    """
    rows = {
        decode: {key: written(value) for key, value in resolved(params, decode).items()}
        for decode in decodes
    }
    everything = dict.fromkeys(key for row in rows.values() for key in row)
    found = {
        key: list(dict.fromkeys(row[key] for row in rows.values() if key in row))
        for key in everything
    }
    keys = [key for key, values in found.items() if len(values) > 1]
    places = {key: {value: k for k, value in enumerate(found[key])} for key in keys}
    return {
        "shared": {key: values[0] for key, values in found.items() if len(values) == 1},
        "keys": keys,
        "values": [found[key] for key in keys],
        "rows": {
            name: [places[key][row[key]] if key in row else None for key in keys]
            for name, row in rows.items()
        },
        "students": [name for name in rows if params.source(name)[1]],
    }


def of_everything(params: Params) -> dict[str, str]:
    """What belongs to no row: seed, data, evaluation, timing."""
    raw = params.model_dump(mode="json", include={"seed", "cpu_threads", "data", "evaluate"})
    raw |= params.model_dump(mode="json", include={"throughput"})
    return {key: written(value) for key, value in dotted(raw).items()}


def differences(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Keys whose values differ, with both values; a dash where a side lacks the key."""
    keys = dict.fromkeys([*a, *b])
    sides = {
        key: tuple(written(side[key]) if key in side else "–" for side in (a, b)) for key in keys
    }
    return {key: pair for key, pair in sides.items() if pair[0] != pair[1]}
