"""Use of a codebook, moments of latents and distances of texts: closed forms."""

import math

import pytest
import torch

from msdd.metrics.codes import code_use
from msdd.metrics.frechet import Moments
from msdd.metrics.latents import latent_spread, participation_ratio
from msdd.metrics.text import character_error_rate, edit_distance, one_minus_ned


def test_uniform_codes_use_the_whole_codebook():
    use = code_use([torch.full((64,), 7)], 64)
    assert (use.size, use.used) == (64, 64)
    assert use.perplexity == pytest.approx(64) and use.entropy == pytest.approx(6)


def test_one_code_alone_is_no_information():
    use = code_use([torch.tensor([100])], 64)
    assert (use.used / use.size, use.perplexity, use.entropy) == (1 / 64, 1, 0)


def test_codebooks_are_counted_apart():
    """Bits of 1/4 and 3/4, and an even one: the mean entropy, the geometric mean perplexity."""
    use = code_use([torch.tensor([1, 3]), torch.tensor([2, 2])], 2)
    skew = 0.25 * 2 + 0.75 * math.log2(4 / 3)
    assert use.entropy == pytest.approx((skew + 1) / 2)
    assert use.perplexity == pytest.approx(math.sqrt(2**skew * 2))


def test_independent_channels_have_as_many_effective_dimensions():
    normal = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    moments = Moments(8)
    moments.update(normal)
    values = torch.linalg.eigvalsh(moments.covariance)
    assert participation_ratio(values) == pytest.approx(8, rel=0.01)
    assert participation_ratio(torch.tensor([3.0, 0, 0, 0])) == 1
    assert participation_ratio(torch.zeros(4)) == 0


def test_the_spread_of_latents_is_that_of_a_slow_version():
    """Images of 5 positions and 3 channels, two of which are one."""
    latents = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(1)).double()
    latents[..., 2] = latents[..., 1]
    latents += 3 * latents[:, :1]
    rows, means = latents.flatten(0, 1), latents.mean(1)
    between = means.var(0)
    found = latent_spread(rows.mean(0), rows.T.cov(), len(rows), between, len(means))
    torch.testing.assert_close(found.std, rows.std(0, correction=0))
    torch.testing.assert_close(found.std_of_means, means.std(0, correction=0))
    inside = latents.var(1, correction=0).mean(0).sqrt()
    torch.testing.assert_close(found.std_in_image, inside)
    assert found.eigenvalues[-1] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b", "edits"), [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 2)]
)
def test_edits_are_levenshtein_s(a, b, edits):
    assert edit_distance(a, b) == edit_distance(b, a) == edits


def test_error_rates_are_by_the_truth_and_by_the_longer_text():
    assert character_error_rate("abcd", "abXd") == 0.25
    assert character_error_rate("ab", "abcdef") == 2
    assert one_minus_ned("abcd", "ab") == 0.5
    assert one_minus_ned("", "") == 1
