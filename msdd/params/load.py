"""Reads a params file into checked `Params`."""

from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.params.checks import cross_checks
from msdd.params.plain_yaml import read_yaml
from msdd.params.schema import Params
from msdd.params.validate import validate


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check a params file.

    Raises:
        MsddError: a line for every mistake, naming the key, what was given and what is allowed.
    """
    return parse(read_yaml(path), str(path))


def parse(raw: Any, name: str = "params") -> Params:
    """Check plain values as `load` does; every mistake begins with `name`."""
    params = validate(Params, raw, name)
    mistakes = cross_checks(params)
    if mistakes:
        raise MsddError("\n".join(f"{name}: {mistake}" for mistake in mistakes))
    return params
