"""The Fréchet distance against its closed forms and the formula of pytorch_fid."""

import numpy as np
import pytest
import straightforward
import torch

from msdd.errors import MsddError
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics import frechet
from msdd.metrics.frechet import Moments, frechet_distance


def features(count: int, dimensions: int, seed: int = 0) -> torch.Tensor:
    """Correlated, off centre, of spread scales; float32 as networks give them."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=generator) / dimensions**0.5
    return torch.randn(count, dimensions, generator=generator) @ mixing + seed + 1


def moments(*parts: torch.Tensor) -> Moments:
    result = Moments(parts[0].shape[1])
    for part in parts:
        result.update(part)
    return result


def test_moments_are_those_of_numpy():
    x = features(50, 8)
    found = moments(x)
    np.testing.assert_allclose(found.mean, x.double().mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.double(), rowvar=False), rtol=1e-10)


def test_merge_of_uneven_parts_is_the_whole():
    x = features(100, 8)
    parts = [moments(x[:1]), moments(x[1:30], x[30:37]), moments(x[37:])]
    merged = Moments(8)
    for part in parts:
        merged.merge(part)
    assert merged.count == 100
    torch.testing.assert_close(merged.mean, moments(x).mean, rtol=1e-13, atol=0)
    torch.testing.assert_close(merged.covariance, moments(x).covariance, rtol=1e-11, atol=1e-13)


def test_blocks_give_the_same_bits_in_any_order_and_split():
    """Terms of very different sizes, where plain sums show their order."""
    scales = 10.0 ** torch.arange(-6, 6).repeat_interleave(8)
    blocks = (features(96, 300) * scales[:, None]).split(8)
    whole = moments(*blocks)
    for seed in range(5):
        order = torch.randperm(12, generator=torch.Generator().manual_seed(seed)).split([1, 7, 4])
        merged = Moments(300)
        for part in order:
            merged.merge(moments(*(blocks[k] for k in part)))
        assert torch.equal(merged.mean, whole.mean)
        assert torch.equal(merged.covariance, whole.covariance)
    plain = [sum(b.double().sum(0) for b in blocks[::step]) for step in (1, -1)]
    assert not torch.equal(*plain)


def test_what_networks_gave_in_inference_mode_is_merged_outside():
    with torch.inference_mode():
        part = moments(features(5, 8))
    part.merge(moments(features(6, 8, seed=1)))
    assert part.count == 11


def test_state_carries_the_sums():
    whole, copy = moments(features(20, 8)), Moments(8)
    copy.load_state_dict(whole.state_dict())
    assert copy.count == 20 and torch.equal(copy.covariance, whole.covariance)


@pytest.mark.parametrize("count", [5, 400])
def test_equal_covariances_leave_the_squared_distance_of_means(count):
    x, step = features(count, 64), torch.linspace(-1, 1, 64)
    expected = step.double().square().sum().item()
    assert frechet_distance(moments(x), moments(x + step)) == pytest.approx(expected, rel=1e-5)


def test_scaled_features_have_a_closed_form():
    """B = 4 A around zero: tr(A + 4A - 2 * 2A) = tr A."""
    x = features(300, 16)
    x = (x - x.mean(0)).double()
    expected = np.trace(np.cov(x, rowvar=False))
    assert frechet_distance(moments(x), moments(2 * x)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 20, 500])
def test_identical_sets_are_at_zero(count):
    x = features(count, 128)
    assert 0 <= frechet_distance(moments(x), moments(x)) < 1e-8
    assert 0 <= frechet_distance(moments(x), moments(x.flip(0)[:7], x.flip(0)[7:])) < 1e-8


def test_equals_the_formula_of_pytorch_fid():
    a, b = moments(features(2000, 96)), moments(features(1500, 96, seed=1))
    arrays = [x.numpy() for x in (a.mean, a.covariance, b.mean, b.covariance)]
    assert frechet_distance(a, b) == pytest.approx(
        straightforward.frechet_of_moments(*arrays), rel=1e-6
    )


def test_fewer_images_than_dimensions_have_the_distance_of_their_span():
    """Both sets in the first 8 of 100 dimensions: padding with zeros and turning change nothing."""
    a, b = features(6, 8), features(7, 8, seed=1)
    turn = torch.linalg.qr(torch.randn(100, 100, generator=torch.Generator().manual_seed(2)))[0]
    padded = [torch.nn.functional.pad(x, (0, 92)).double() @ turn.double() for x in (a, b)]
    found = frechet_distance(*(moments(x) for x in padded))
    assert found == pytest.approx(frechet_distance(moments(a), moments(b)), rel=1e-5)


def test_covariances_of_few_images_kept_in_float32():
    """Their rounding makes eigenvalues negative, of which no real factor is."""
    a, b = (moments(features(30, 200, seed=seed)) for seed in (1, 2))
    kept = [Reference(x.mean, x.covariance.float().double()) for x in (a, b)]
    assert min(torch.linalg.eigvalsh(x.covariance)[0] for x in kept) < -1e-9
    assert frechet_distance(*kept) == pytest.approx(frechet_distance(a, b), rel=1e-5)


def test_fewer_images_lie_further_away():
    """Of one population: the distance falls with their number, so only equal numbers compare."""
    population = moments(features(4000, 64))
    x = features(4000, 64)[torch.randperm(4000, generator=torch.Generator().manual_seed(0))]
    found = [frechet_distance(moments(x[:count]), population) for count in (8, 32, 128, 1024)]
    assert found == sorted(found, reverse=True) and found[0] > 10 * found[-1]


def test_two_halves_of_one_set_lie_their_bias_apart():
    """Of standard normal features: 2 d / n by the means and, to first order, d (d + 1) / 2 n by the
    covariances, whose squared Bures distance is a quarter of that of Frobenius."""
    count, width = 2000, 16
    random = torch.Generator().manual_seed(0)
    halves = (torch.randn(2 * count, width, generator=random).split(count) for _ in range(8))
    found = np.mean([frechet_distance(*map(moments, pair)) for pair in halves])
    assert found == pytest.approx((2 * width + width * (width + 1) / 2) / count, rel=0.1)


def test_too_few_or_broken_features_are_refused():
    good = moments(features(3, 4))
    with pytest.raises(MsddError, match="4 and 5 dimensions"):
        frechet_distance(good, moments(features(3, 5)))
    for bad, message in [(features(1, 4), "at least 2"), (torch.full((2, 4), torch.nan), "NaN")]:
        with pytest.raises(MsddError, match=message):
            frechet_distance(good, moments(bad))
    broken = Reference(torch.full((4,), torch.nan).double(), good.covariance)
    with pytest.raises(MsddError, match="NaN"):
        frechet_distance(good, broken)


def test_a_covariance_is_factored_once(monkeypatch):
    """Protocols that share a set share its factor, and the distance keeps its bits."""
    real, made, other = (moments(features(30, 40, seed=seed)) for seed in (7, 8, 9))
    fresh = frechet_distance(real, made)
    frechet.kept.clear()
    calls, factor = [], frechet.factor
    monkeypatch.setattr(frechet, "factor", lambda c: calls.append(len(c)) or factor(c))
    assert frechet_distance(real, made) == frechet_distance(real, made) == fresh
    frechet_distance(real, other)
    frechet_distance(Reference(real.mean + 1, real.covariance.clone()), other)
    assert len(calls) == 3


def test_few_results_are_kept():
    for seed in range(frechet.KEPT + 2):
        frechet_distance(moments(features(5, 4, seed=seed)), moments(features(5, 4, seed=99)))
    assert len(frechet.kept) == frechet.KEPT
