"""Precision, recall, density and coverage: others' functions, slow restatements, closed forms."""

import guided_diffusion
import numpy as np
import pytest
import torch

from msdd.errors import MsddError
from msdd.metrics.manifold import (
    density_coverage,
    precision_recall,
    radii,
    squared,
    squared_half,
)
from msdd.weights.optional_imports import import_torchvision

import_torchvision()
from torch_fidelity.metric_prc import calculate_precision_recall_full  # noqa: E402


def features(count: int, seed: int, dimensions: int = 24) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed))


def means(values) -> tuple[float, ...]:
    return tuple(value.double().mean().item() for value in values)


def test_precision_and_recall_are_those_of_torch_fidelity(monkeypatch):
    monkeypatch.setattr("msdd.metrics.manifold.ROWS", 32)
    monkeypatch.setattr("msdd.metrics.manifold.COLUMNS", 50)
    made, real = 0.8 * features(150, 1) + 0.3, features(200, 2)
    expected = calculate_precision_recall_full(made, real)
    assert min(expected) > 0.1 and max(expected) < 0.999
    assert means(precision_recall(made, real)) == pytest.approx(expected, abs=1e-6)


def test_half_precision_is_the_formula_of_guided_diffusion():
    a, b = (features(20, seed, 64).numpy().astype(np.float16) for seed in (3, 4))
    found = squared_half(*(torch.from_numpy(v.astype(np.float32)) for v in (a, b)))
    for i, j in ((0, 0), (3, 7), (19, 2)):
        expected = float(guided_diffusion.distance(a[i], b[j]))
        assert found[i, j].item() == pytest.approx(expected, abs=0.07)  # one unit of float16


def test_the_whole_of_guided_diffusion_by_loops():
    made, real = (scale * features(40, seed) for scale, seed in ((0.8, 21), (1, 22)))
    expected = guided_diffusion.precision_recall(made.numpy(), real.numpy())
    found = means(precision_recall(made, real, 3, squared_half))
    assert found == pytest.approx(expected, abs=1.5 / 40)  # one unit of float16 may decide one
    assert 0.1 < min(found) < max(found) <= 1


def test_half_precision_gives_way_where_it_overflows():
    large = 300 * features(6, 5)
    assert torch.allclose(squared_half(large, large), squared(large, large).float(), atol=64)
    assert squared_half(large, large).isfinite().all()


def test_density_and_coverage_by_loops():
    made, real, k = 0.9 * features(40, 6), features(50, 7), 5
    distance = torch.cdist(real.double(), real.double()).sort(1).values[:, k]
    inside = torch.cdist(made.double(), real.double()) < distance
    density, coverage = density_coverage(made, real, k)
    assert density.tolist() == pytest.approx((inside.sum(1) / k).tolist())
    assert torch.equal(coverage, inside.any(0)) and 0.2 < means([coverage])[0] < 1


def test_two_halves_of_one_set():
    halves = features(600, 8, 4).chunk(2)
    assert min(means(precision_recall(*halves))) > 0.8
    density, coverage = means(density_coverage(*halves))
    assert 0.9 < density < 1.1 and coverage > 0.9


def test_memorised_samples_cover_all():
    """Also where each ball's last neighbour lies on its surface but for the rounding of a block."""
    real = features(450, 9, 1280).relu()
    assert means(precision_recall(real.clone(), real)) == (1, 1)
    density, coverage = density_coverage(real.clone(), real)
    assert (5 * density).round().sum() == 5 * len(real) and coverage.all()


def test_a_class_without_samples_costs_recall_and_coverage_alone():
    classes = [features(100, seed, 6) + 40 * seed for seed in range(4)]
    real, made = torch.cat(classes), torch.cat([features(100, seed + 10, 6) for seed in range(3)])
    made += 40 * torch.arange(3).repeat_interleave(100)[:, None]
    whole = torch.cat([made, features(100, 13, 6) + 120])
    (precision, recall), (before, full) = (means(precision_recall(x, real)) for x in (made, whole))
    assert precision == pytest.approx(before, abs=0.03) and precision > 0.85
    assert recall == pytest.approx(0.75 * full, abs=0.03)
    assert means(density_coverage(made, real))[1] < 0.76


def test_one_image_over_and_over():
    """In the place of a real one it is precise, and recalls what is at that place alone."""
    real = features(50, 11)
    made = real[:1].expand(50, -1)
    assert means(precision_recall(made, real)) == (1, 1 / 50)
    assert means(precision_recall(made, made.clone())) == (1, 1)  # of a distance of exactly 0
    assert means(density_coverage(made, made.clone())) == (0, 0)  # open balls of no radius


def test_too_few_and_what_is_not_finite():
    with pytest.raises(MsddError, match="3 neighbours need at least 4 images, not 3"):
        radii(features(3, 0), 3)
    with pytest.raises(MsddError, match="NaN or infinity"):
        radii(features(9, 0).log(), 3)
