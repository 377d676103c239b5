"""CMMD by double loops and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F

from msdd.errors import MsddError
from msdd.metrics import cmmd as module
from msdd.metrics.cmmd import cmmd


def embeddings(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)))


def mean(x, y) -> float:
    """Of the kernel, word for word."""
    return sum(math.exp(-float((a - b).square().sum()) / 200) for a in x for b in y) / (
        len(x) * len(y)
    )


def test_equals_double_loops_and_is_0_for_equal_sets(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 4)
    x, y = embeddings(11, 0), embeddings(9, 1)
    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert cmmd(x, y) == pytest.approx(expected, rel=1e-4)
    assert cmmd(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


def test_opposite_points():
    """Two embeddings of length 1 are at most 2 apart: 2 (1 - exp(-4 / 200)) times 1000."""
    x = torch.tensor([[1.0, 0.0]])
    assert cmmd(x, -x) == pytest.approx(2000 * (1 - math.exp(-0.02)))
    with pytest.raises(MsddError, match="NaN or infinity"):
        cmmd(x, x / 0)
