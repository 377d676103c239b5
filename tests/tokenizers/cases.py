"""What is done with a recorded case of an official implementation."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def load_case(path: Path) -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
    """What config.json holds, the official state dict, the recorded inputs and outputs."""
    config = json.loads((path / "config.json").read_text())
    return config, load_file(path / "model.safetensors"), load_file(path / "io.safetensors")


def assert_reproduced(
    found: dict[str, Tensor], io: dict[str, Tensor], inputs: set[str], atol: float = 1e-4
) -> None:
    """Every output that was recorded: integers exactly, floats to `atol`."""
    assert not io.keys() - inputs - found.keys()
    for name in io.keys() & found.keys():
        tolerance = atol if found[name].is_floating_point() else 0
        torch.testing.assert_close(found[name], io[name], atol=tolerance, rtol=0, msg=_named(name))


def _named(name: str) -> Callable[[str], str]:
    return lambda message: f"{name}: {message}"
