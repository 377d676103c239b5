"""Params, protocols and published numbers, for `fuzz_targets`."""

from functools import cache
from pathlib import Path

import yaml

from msdd.evaluate import protocols
from msdd.params import presets
from msdd.report import published


@cache
def params() -> list[bytes]:
    return [presets.find(name, Path(".")).read_bytes() for name in ("tiny", "ssdd")]


def protocol_files() -> list[bytes]:
    known = protocols.builtin()
    own = {"mine": {"base": "primary", "crop": "adm"}, "other": known["primary"]}
    return [yaml.safe_dump(own).encode(), yaml.safe_dump({"one": known["dito"]}).encode()]


def read_protocols(path: Path) -> None:
    protocols.load([str(path)])


def published_files() -> list[bytes]:
    return [published.place(Path(".")).read_bytes()]


def read_published(path: Path) -> None:
    published.read(path.parents[1])
