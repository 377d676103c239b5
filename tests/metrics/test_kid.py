"""The kernel distance against double loops, torch-fidelity and what sampling theory says."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from msdd.errors import MsddError
from msdd.metrics import kid as module
from msdd.metrics.kid import Sample, in_order, kid, kid_torch_fidelity, subset_estimates, subsets
from msdd.weights.optional_imports import import_torchvision


def features(count: int, seed: int, dimensions: int = 16, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator) + shift


def slow(x, y) -> float:
    """Gretton et al. 2012, equation 4, word for word."""

    def k(a, b):
        return (float(a @ b) / len(a) + 1) ** 3

    m = len(x)
    pairs = [(i, j) for i in range(m) for j in range(m) if i != j]
    terms = [k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i]) for i, j in pairs]
    return sum(terms) / (m * (m - 1))


def test_subset_estimates_are_those_of_double_loops(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 7)
    x, y = features(24, 0).double(), features(24, 1, shift=0.3).double()
    rows = subsets(24, 9)[:3]
    expected = [slow(x[row].numpy(), y[row].numpy()) for row in rows]
    assert subset_estimates(x, y, rows).tolist() == pytest.approx(expected, rel=1e-10)


def test_kid_by_torch_fidelity_is_its_number():
    """Of sets in the same order; ours takes the kernel in float64, theirs in float32."""
    import_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    x = features(1200, 0, 64).abs()
    for y in (x + 0.1 * features(1200, 1, 64), features(1100, 2, 64, shift=0.3)):
        theirs = kid_features_to_metric(x, y, rng_seed=2020, verbose=False)
        ours = kid_torch_fidelity(x, y)
        wanted = (theirs[f"kernel_inception_distance_{name}"] for name in ("mean", "std"))
        assert (ours["mean"], ours["std"]) == pytest.approx(tuple(wanted), rel=1e-4, abs=1e-6)
    with pytest.raises(MsddError, match="subsets of 1000 images, not 999"):
        kid_torch_fidelity(x, x[:999])


def test_a_sample_returns_to_the_order_of_its_ids():
    names = [f"{k}.png" for k in range(50)]
    sample = Sample(16, capacity=60)
    rows = features(50, 0)
    sample.update(names, rows)
    assert not torch.equal(sample.features, rows)
    assert torch.equal(in_order(sample.features, names), rows)


def test_equals_torch_fidelity_on_the_same_subsets():
    """With its estimator for pairs; its default one counts partners as strangers."""
    import_torchvision()
    from torch_fidelity.metric_kid import kernel_poly, mmd2

    x, y = features(300, 0, 64), features(300, 0, 64) + 0.2 * features(300, 1, 64)
    rows = subsets(300, 100)[:5]
    found = subset_estimates(x.double(), y.double(), rows).tolist()
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    for estimate, row in zip(found, rows, strict=True):
        a, b = x[row].double().numpy(), y[row].double().numpy()
        sets = ((a, a), (a, b), (b, b))
        kernels = [kernel_poly(*pair, kid_kernel_poly_coef0=1, **options) for pair in sets]
        assert estimate == pytest.approx(mmd2(*kernels, mmd_est="u-statistic"), abs=1e-9)
        partners = 2 * (
            np.trace(kernels[1]) / 100 - (kernels[1].sum() - np.trace(kernels[1])) / 9900
        )
        assert mmd2(*kernels) == pytest.approx(estimate - partners / 100, abs=1e-9)


def test_equal_sets_are_at_zero_and_noise_is_further_away():
    x = features(60, 0)
    assert abs(kid(x, x)["mean"]) < 1e-12
    found = [kid(x, x + level * features(60, 1))["mean"] for level in (0.5, 1, 2)]
    assert sorted(found) == found and found[0] > 0


def test_subsets_are_smaller_with_few_images_and_the_result_says_so():
    found = kid(features(50, 0), features(70, 1))
    assert (found["subsets"], found["size"], found["images"]) == (100, 25, 50)
    assert found["low"] < found["mean"] < found["high"]
    assert found == kid(features(50, 0), features(70, 1)[:50])


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(paired):
    """Over 120 data sets, to 3 deviations of that count; the truth is the mean of all of them."""
    results = []
    for seed in range(120):
        x = features(60, 2 * seed, 4)
        y = (0.8 * x if paired else 0.8 * features(60, 2 * seed + 1, 4)) + 0.5
        results.append(kid(x, y))
    truth = np.mean([result["mean"] for result in results])
    covered = np.mean([result["low"] < truth < result["high"] for result in results])
    assert covered > 0.95 - 3 * (0.95 * 0.05 / 120) ** 0.5


def test_a_sample_is_a_function_of_the_ids():
    x, ids = features(40, 0), [f"{i}.png" for i in range(40)]
    whole = Sample(16, capacity=10)
    whole.update(ids, x)
    parts = [Sample(16, capacity=10) for _ in range(3)]
    for part, rows in zip(parts, torch.randperm(40).split([5, 34, 1]), strict=True):
        part.update([ids[i] for i in rows], x[rows])
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert torch.equal(parts[2].features, whole.features)
    assert len(whole.features) == 10
    other = Sample(16, capacity=10)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(other.features, whole.features)


def test_a_small_set_is_kept_whole_and_pairs_stay_pairs():
    x = features(9, 0)
    a, b = Sample(16, capacity=10), Sample(16, capacity=10)
    a.update(range(9), x)
    b.update(list(range(9))[::-1], x.flip(0) + 1)
    assert len(a.features) == 9
    torch.testing.assert_close(b.features, a.features + 1)


def test_a_sample_is_uniform():
    """Each of 500 images is in 100 of them with probability 1/5, whatever its place."""
    sample = Sample(1, capacity=100)
    sample.update(range(500), torch.arange(500.0)[:, None])
    chosen = sample.features.flatten().sort().values
    assert abs(chosen.mean() - 249.5) < 4 * 500 / 12**0.5 / 10


def test_too_few_or_broken_features_are_refused():
    for bad, message in [(features(3, 0), "at least 4"), (torch.full((9, 16), torch.nan), "NaN")]:
        with pytest.raises(MsddError, match=message):
            kid(features(9, 0), bad)


def test_the_result_and_the_documents_name_the_estimate():
    """By this name others know another one, which keeps the pairs."""
    assert kid(features(9, 0), features(9, 1))["estimate"] == "u-statistic"
    text = (Path(__file__).parents[2] / "docs/protocols.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## KID here and elsewhere$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert 'mmd_est="unbiased"' in section and 'mmd_est="u-statistic"' in section
