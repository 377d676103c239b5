"""The recorded cases of the official implementations; see tests/fixtures/README.md."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(os.environ.get("MSDD_FIXTURES", Path(__file__).parents[1] / "fixtures"))


def cases(system: str) -> list[Path]:
    """Every case of a system; a folder put beside them is found too."""
    return sorted(path.parent for path in FOLDER.glob(f"{system}/*/config.json"))


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
