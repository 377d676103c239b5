"""Weights spread over several files by an index, as diffusers and transformers save large models.

The index is JSON: its `weight_map` says in which file of the same folder each tensor lies.
"""

import re
from pathlib import Path, PurePosixPath

from msdd.errors import MsddError
from msdd.files import read_json

INDEX = re.compile(r".+\.index(\.[^.]+)?\.json")  # model.safetensors.index.fp16.json


def is_index(path: Path) -> bool:
    return INDEX.fullmatch(path.name) is not None


def files_of(path: Path) -> list[Path]:
    """The files whose tensors are read: the shards that an index names, or the file itself."""
    return list(dict.fromkeys(weight_map(path).values())) if is_index(path) else [path]


def weight_map(index: Path) -> dict[str, Path]:
    """The file of each tensor. MsddError for what is no index, and for files outside its folder."""
    try:
        names = read_json(index)["weight_map"]
    except FileNotFoundError as error:
        raise MsddError(f"there is no file {index}") from error
    except (MsddError, KeyError, TypeError) as error:
        raise MsddError(f"{index}: not an index of shards; fetch it again") from error
    if not isinstance(names, dict) or not names:
        raise MsddError(f"{index}: its weight_map names no tensor; fetch it again")
    return {tensor: _inside(index, name) for tensor, name in names.items()}


def _inside(index: Path, name: object) -> Path:
    plain = isinstance(name, str) and PurePosixPath(name).name == name and "\0" not in name
    if not plain or name in ("", ".."):
        raise MsddError(
            f"{index}: refused: it names {name!r}, which is no file in its own folder; all shards "
            "lie beside their index"
        )
    return index.with_name(name)
