"""Cosmos from its released files, `encoder.jit` and `decoder.jit`.

They are TorchScript: programs with weights inside. Their weights are all that is taken; the
networks are ours, so that they run on any device, in any precision, and can be compiled.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.tokenizers import cosmos
from msdd.tokenizers.cosmos import Cosmos, CosmosConfig

CONSTANTS = ("wavelets", "_arange", "_levels", "_basis", "implicit_codebook")


def load(config: CosmosConfig, encoder: Path, decoder: Path, run_code: bool = False) -> Cosmos:
    """The tokenizer with the weights of the two archives.

    run_code: opening a TorchScript archive runs code that stands in it. Without this consent
              nothing is opened. MsddError then, and for archives that do not fit.
    """
    state: dict[str, Tensor] = {}
    for path in (encoder, decoder):
        tensors = read(Path(path), run_code)
        check_levels(config, tensors, path)
        state |= {name: v for name, v in tensors.items() if not name.endswith(CONSTANTS)}
    return cosmos.load(config, state)


def read(path: Path, run_code: bool) -> dict[str, Tensor]:
    """Weights and constants of an archive by their names in it."""
    if not run_code:
        raise MsddError(f"{path}: TorchScript is code, which opening it runs; allow it explicitly")
    try:
        with warnings.catch_warnings(action="ignore"):  # deprecated, but so they are released
            return torch.jit.load(path, map_location="cpu").state_dict()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MsddError(f"{path}: cannot be read as TorchScript ({reason})") from error


def check_levels(config: CosmosConfig, tensors: Mapping[str, Tensor], path: Path) -> None:
    """No weight depends on the levels, but every index does."""
    for name, value in tensors.items():
        if name.endswith("quantizer._levels") and value.tolist() != list(config.levels):
            raise MsddError(f"{path}: has levels {value.tolist()}, not {list(config.levels)}")
