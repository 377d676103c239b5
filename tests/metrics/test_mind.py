"""MIND by closed forms, its definition and what the theory of sliced distances says."""

import pytest
import torch

from msdd.errors import MsddError
from msdd.metrics.mind import DIRECTIONS, mind, unit_vectors


def gaussian(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def slow(x, y, directions) -> float:
    """Direction by direction, rank by rank."""
    total = 0.0
    for u in directions:
        a, b = (sorted((side @ u).tolist()) for side in (x, y))
        total += sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / len(a)
    return 3 * x.shape[1] * total / len(directions)


def test_equals_its_definition_and_is_0_for_equal_sets_in_any_order():
    x, y = gaussian(30, 8, 0), gaussian(30, 8, 1) + 0.5
    assert mind(x, y) == pytest.approx(
        slow(x, y, unit_vectors(DIRECTIONS, 8, torch.Generator().manual_seed(2020))), rel=1e-5
    )
    assert mind(x, x) == 0
    assert mind(x, x[torch.randperm(30)]) == pytest.approx(0, abs=1e-9)
    assert mind(x, y) == pytest.approx(mind(y, x), rel=1e-6)


def test_a_shift_costs_three_times_its_square():
    """A mean over directions of (u v)^2 is |v|^2 / D, up to the error of drawing so many."""
    x, v = gaussian(50, 16, 0), gaussian(1, 16, 1)
    assert mind(x, x + v) == pytest.approx(3 * v.square().sum().item(), rel=0.15)


def test_two_gaussians_in_the_limit():
    """Along every direction the distance of N(0, 1) and N(m, s^2) is m^2 + (1 - s)^2."""
    x, y = gaussian(4000, 64, 0), 1.5 * gaussian(4000, 64, 1)
    assert mind(x, y) == pytest.approx(3 * 64 * 0.5**2, rel=0.05)


@pytest.mark.parametrize("counts", [(30, 30), (30, 41), (41, 30)])
def test_draws_are_those_of_torch_fidelity(counts):
    """metric_mind.py at a51aa64, restated: one generator of seed 2020 on the CPU draws first rows
    of the longer set, then the directions, in float32."""
    x, y = (gaussian(count, 8, seed) * (1 + seed) for seed, count in enumerate(counts))
    draws, fewest = torch.Generator().manual_seed(2020), min(counts)
    sides = []
    for side in (x, y):
        rows = range(fewest)
        if len(side) > fewest:
            rows = torch.randperm(len(side), generator=draws).tolist()[:fewest]
        sides.append(torch.stack([side[i] for i in rows]))
    directions = torch.randn(1000, 8, generator=draws)
    expected = slow(*sides, [one / one.norm() for one in directions])
    assert mind(x, y) == pytest.approx(expected, rel=1e-5)


def test_numbers_must_be_finite():
    x = gaussian(20, 4, 0)
    with pytest.raises(MsddError, match="NaN or infinity"):
        mind(x, x / 0)
    with pytest.raises(MsddError, match="at least one image"):
        mind(x, x[:0])
