"""Protocols by name: the built-in ones, and those of YAML files.

The built-in ones stand in `protocols.yaml` beside this file, each fact with its source.
"""

import sys
from collections.abc import Iterable
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from msdd.errors import MsddError, known_names
from msdd.evaluate.protocol import METRICS, NO_IMAGES, OF_ONE_NETWORK, Protocol
from msdd.files import expand_user
from msdd.params.plain_yaml import read_yaml
from msdd.params.validate import validate
from msdd.weights.representations import REPRESENTATIONS

Names = str | PathLike[str] | Iterable[str | PathLike[str]]  # of protocols, or of YAML files


def builtin(file: str = "protocols.yaml") -> dict[str, Any]:
    """The plain values of a file of this package, by name."""
    with resources.as_file(resources.files("msdd.evaluate") / file) as path:
        return read_yaml(path)


def of_all() -> list[str]:
    """What `all` stands for: without `extended`, which needs networks that few have."""
    return [name for name in builtin() if name != "extended"]


def choose(names: Names, features: str | None = None) -> dict[str, Protocol]:
    """The protocols by name that measure something: built-in ones, `all`, and those of YAML files;
    with `features`, their Fréchet distance is on that network, or on `none`.

    Tells on standard error which measure nothing with these features. Raises MsddError for what
    names no protocol, for features that are not known, and where nothing is left to measure.
    """
    if features not in (None, "none", *REPRESENTATIONS):
        told = known_names(features, [*REPRESENTATIONS, "none"])
        raise MsddError(f"features '{features}' are unknown; {told}")
    listed = [(of_all() if name == "all" else [name]) for name in listed_names(names)]
    chosen = load(dict.fromkeys(name for group in listed for name in group))
    return measuring(chosen, features) if features else chosen


def measuring(chosen: dict[str, Protocol], features: str) -> dict[str, Protocol]:
    """Those that still measure something, the others being named; MsddError if none does."""
    on_one = any(getattr(one, key) for one in chosen.values() for key in OF_ONE_NETWORK)
    if features != "none" and not on_one:
        raise MsddError(
            f"features '{features}' mean nothing without a Fréchet distance; leave them out"
        )
    changed = {name: one.with_features(features) for name, one in chosen.items()}
    idle = ", ".join(name for name, one in changed.items() if not one.measures)
    nothing = f"with --features {features}, nothing is left to measure of {idle}"
    if not any(one.measures for one in changed.values()):
        raise MsddError(f"{nothing}; name another protocol too, or leave it out")
    if idle:
        print(f"{nothing}: left out", file=sys.stderr)
    return {name: one for name, one in changed.items() if one.measures}


def listed_names(given: Names) -> list[str]:
    """One name or file, or several, as texts, each once. MsddError for anything else."""
    one = isinstance(given, str | PathLike)
    listed = [given] if one else list(given) if isinstance(given, Iterable) else [None]
    if not all(isinstance(name, str | PathLike) for name in listed):
        raise MsddError(f"protocol is {given!r:.60}; it must be a name, a YAML file, or a list")
    return list(dict.fromkeys(map(fspath, listed)))


def load(names: Iterable[str]) -> dict[str, Protocol]:
    """Protocols by name: built-in ones, and all of each YAML file that is named.

    Raises MsddError: an unknown name, or a line for every mistake of a file with key and value.
    """
    known, chosen = builtin(), {}
    for name in names:
        if Path(name).suffix in (".yaml", ".yml"):
            own = read_file(name, known)
            check_new(own, name, known.keys() | chosen.keys())
            chosen |= own
        elif name in known:
            chosen[name] = validate(Protocol, known[name], name)
        elif name in builtin("samples.yaml"):
            raise MsddError(f"--protocol {name} is of generated samples, by --samples")
        else:
            told = known_names(name, [*known, "all"])
            raise MsddError(f"--protocol {name} is unknown; {told}, or a .yaml file")
    return chosen


def check_new(own: Iterable[str], path: str, taken: Iterable[str]) -> None:
    """A metric carries its protocol's name, which must tell what it is."""
    if twice := sorted(set(own) & set(taken)):
        raise MsddError(f"{path}: the name {twice[0]} is taken by another protocol; choose another")


def read_file(path: str, known: dict[str, Any]) -> dict[str, Protocol]:
    rows = read_rows(path)
    return {name: read_row(row, known, f"{path}: {name}") for name, row in rows.items()}


def read_rows(path: str) -> dict[str, dict[str, Any]]:
    """The protocols of a YAML file by name, as they are written."""
    if not expand_user(path).is_file():
        raise MsddError(f"--protocol: there is no file {path}")
    raw = read_yaml(expand_user(path))
    if not isinstance(raw, dict) or not all(isinstance(row, dict) for row in raw.values()):
        raise MsddError(f"{path}: must be a table of protocols by name, each a table of keys")
    if not raw:
        raise MsddError(f"{path}: holds no protocol")
    return {str(name): row for name, row in raw.items()}


def read_row(row: dict[str, Any], known: dict[str, Any], where: str) -> Protocol:
    protocol = validate(Protocol, with_base(row, known, where), where)
    if not protocol.measures:
        known = ", ".join((*METRICS, *NO_IMAGES))
        raise MsddError(f"{where}: has no metric; it needs one of {known}")
    for key in ("kid", "kid_torch_fidelity"):
        if getattr(protocol, key) and protocol.fid is None:
            raise MsddError(f"{where}: {key} is true; it needs fid, whose features it takes")
    for key in ("mind", "fdr"):
        if getattr(protocol, key) and not (protocol.fid or protocol.frechet):
            raise MsddError(f"{where}: {key} is true; it needs fid or frechet")
    return protocol


def with_base(row: dict[str, Any], known: dict[str, Any], where: str) -> dict[str, Any]:
    """The row over the protocol that its `base` names."""
    if "base" not in row:
        return row
    if not isinstance(row["base"], str):
        raise MsddError(f"{where}: base is {row['base']!r:.60}; it must be the name of a protocol")
    if row["base"] not in known:
        raise MsddError(f"{where}: base is {row['base']}; {known_names(row['base'], known)}")
    return known[row["base"]] | {key: value for key, value in row.items() if key != "base"}
