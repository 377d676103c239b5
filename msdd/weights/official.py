"""Reads a file of weights, official or our own, into a state dict, without running its code.

Files are `.safetensors`, or pickles of `torch.save`, of which only tensors and plain values are
read. Other formats have one reader each: TorchScript, which is code,
`msdd.tokenizers.cosmos_archives`; numpy arrays in a package, `msdd.weights.packages`.
"""

import argparse
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from msdd.errors import MsddError
from msdd.files import digest, expand_user
from msdd.weights import names, shards

StateDict = dict[str, Tensor]

# Where files hold the weights that are evaluated; the first that exists is used, an average before
# the weights of the last step. One may lie in another: DiTo's trainer has `sd` in `model`.
WRAPPINGS = (
    "model_ema_state_dict",  # FlowMo
    "ema_state_dict",
    "params_ema",  # BasicSR
    "ema",  # LlamaGen, where training kept an average
    "shadow",
    "sd",  # DiTo
    "model",  # LlamaGen
    "state_dict",  # Lightning and others
    "model_state_dict",
    "params",  # BasicSR
    "module",  # DeepSpeed
)
REPEATED = 2**24  # bytes that a tensor may have by repeating fewer, as masks and positions do
PICKLED = (b"\x80", b"PK\x03\x04")  # alone, or in the archive that torch.save writes
STARTS = {
    rb"(?i)<(!doctype|html|head|\?xml)": "is a web page, not weights; fetch them again",
    rb"version https://git-lfs": "is only a pointer of Git LFS; `git lfs pull` fetches the weights",
}


def read_pinned(file: str, sha256: str, root: Path, option: str) -> tuple[Path, StateDict]:
    """The path and the weights of a file, relative to `root`, that the params name.

    MsddError, naming the `option`, if the file is missing or has another digest.
    """
    path = expand_user(file, root)
    if not path.is_file():
        raise MsddError(f"{option}.file: there is no file {path}")
    if (found := digest(path)) != sha256:
        raise MsddError(f"{option}.sha256 is {sha256}, but {path} has {found}")
    return path, read(path)


def read(path: Path) -> StateDict:
    """The weights in a file, or in the shards of an index, by name, on the CPU.

    Of a training's file those that are evaluated, under the names of the network itself
    (`msdd.weights.names`); what is changed for that is told on stderr. Raises MsddError, in one
    line, if a file is missing, damaged, refused or holds no weights.
    """
    state, told = names.bare(join(path) if shards.is_index(path) else content(path))
    if told:
        print(f"msdd: {path}: {'; '.join(told)}", file=sys.stderr)
    return state


def join(index: Path) -> StateDict:
    """All tensors of the shards of an index. MsddError if a shard or a tensor is not there."""
    places = shards.weight_map(index)
    if missing := [path.name for path in shards.files_of(index) if not path.exists()]:
        raise MsddError(f"{index}: its shard {missing[0]} is not here; fetch it as well")
    parts = {path: content(path) for path in shards.files_of(index)}
    for name, path in places.items():
        if name not in parts[path]:
            raise MsddError(f"{index}: {name} is not in {path.name}; fetch both again")
    joined = {name: value for part in parts.values() for name, value in part.items()}
    return joined | {name: parts[path][name] for name, path in places.items()}


def content(path: Path) -> StateDict:
    """The weights in one file, under the names that it has. MsddError as of `read`."""
    check(path)
    loaded = tensors(path) if is_safetensors(path) else unpickle(path)
    if (found := unwrap(loaded)) is not None:
        check_plain(path, found)
        return found
    has = ", ".join(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
    raise MsddError(f"{path}: holds no state dict, but {has[:200]}")


def check_plain(path: Path, state: StateDict) -> None:
    """MsddError for tensors that share their numbers: a few bytes may expand to terabytes."""
    for name, value in state.items():
        plain = value.layout == torch.strided and value.device.type == "cpu"
        size = value.numel() * value.element_size()
        if not plain or size > max(REPEATED, value.untyped_storage().nbytes()):
            raise MsddError(
                f"{path}: refused: {ascii(name)[:80]} is no plain tensor, or larger than what the "
                "file has of it; save its state dict as .safetensors"
            )


def unwrap(loaded: object, depth: int = 0) -> StateDict | None:
    """The state dict in what a file holds, below any of WRAPPINGS; None if there is none."""
    if is_state_dict(loaded):
        return loaded
    if not isinstance(loaded, Mapping) or depth > len(WRAPPINGS):
        return None
    inner = (unwrap(loaded[key], depth + 1) for key in WRAPPINGS if key in loaded)
    return next((state for state in inner if state is not None), None)


def check(path: Path) -> None:
    """Raise MsddError for what is plainly no file of weights: a folder, a web page, half a file."""
    if path.is_dir():
        raise MsddError(f"{path} is a folder; name the file in it that holds the weights")
    if not path.is_file():
        raise MsddError(f"there is no file {path}")
    start = beginning(path).lstrip()
    if not start:
        raise MsddError(f"{path} is empty; fetch it again")
    for pattern, message in STARTS.items():
        if re.match(pattern, start):
            raise MsddError(f"{path} {message}")
    if start.startswith(b"PK\x03\x04") and not zipfile.is_zipfile(path):
        raise MsddError(f"{path} is cut off: its end is missing; fetch it again")
    if start.startswith(b"PK\x03\x04") and unpacked_size(path) > path.stat().st_size:
        raise MsddError(f"{path}: refused: it is compressed, and torch.save compresses nothing")


def unpacked_size(path: Path) -> int:
    """Bytes of all members of an archive. MsddError if it has no list of them that can be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except Exception as error:  # each way of being damaged has its own
        raise unreadable(path, error) from error


def beginning(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(64)


def is_safetensors(path: Path) -> bool:
    """Whether a file is in that format, by content where possible, because files get renamed.

    JSON follows eight bytes of length; pickles and archives begin with marks of their own.
    """
    start = beginning(path)
    return start[8:9] == b"{" or (path.suffix == ".safetensors" and not start.startswith(PICKLED))


def tensors(path: Path) -> StateDict:
    """The tensors of a safetensors file. Raises MsddError if it is damaged."""
    try:
        return load_file(path)
    except Exception as error:  # SafetensorError, and those of the file system
        raise unreadable(path, error) from error


def unpickle(path: Path) -> object:
    """Tensors and plain values of a file of `torch.save`. Raises MsddError for anything else in it.

    argparse.Namespace, the arguments of a training in LlamaGen's files, is only names and values.
    """
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals([argparse.Namespace]),
            open(path, "rb") as file,
        ):
            # By path, only what is used is read; but of a path torch believes the ending.
            mapped = zipfile.is_zipfile(path) and path.suffix != ".safetensors"
            given = path if mapped else file
            return torch.load(given, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # each way of being damaged has its own
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> MsddError:
    """The error in one line, without torch's advice to run whatever the file contains."""
    text = " ".join(str(error).split())
    if "TorchScript" in text:
        return MsddError(f"{path}: is TorchScript, a program; only state dicts are read")
    if "Unsupported operand" in text and beginning(path).startswith(PICKLED):
        return MsddError(
            f"{path}: refused: a pickle that torch.save did not write, which could run any code; "
            "save its state dict as .safetensors where you trust it"
        )
    if match := re.search(r"GLOBAL (\S+)", text):
        return MsddError(
            f"{path}: refused: more than tensors is pickled in it ({match[1]}), which could run "
            "code; save its state dict as .safetensors where you trust it"
        )
    reason = text.partition("Weights only load failed")[0] or type(error).__name__
    return MsddError(f"{path}: cannot be read as weights ({reason[:200].strip()}); fetch it again")


def is_state_dict(candidate: object) -> bool:
    """Whether a value is a mapping that contains tensors and nothing else."""
    return (
        isinstance(candidate, Mapping)
        and len(candidate) > 0
        and all(isinstance(name, str) for name in candidate)
        and all(isinstance(value, Tensor) for value in candidate.values())
    )
