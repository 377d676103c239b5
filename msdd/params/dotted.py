"""Nested values by dotted keys, and a value as a params file would have it."""

import json
from typing import Any


def dotted(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`; an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, dict) and value
        flat |= dotted(value, f"{above}{key}.") if nested else {above + key: value}
    return flat


def written(value: Any) -> str:
    """A text as it is, any other value as JSON in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
