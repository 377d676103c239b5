"""The 8-bit rules against the papers' own arithmetic, and what they do to originals."""

import numpy as np
import pytest
import torch

from msdd.metrics.quantisation import level_table, quantise_originals, quantise_reconstructions

LEVELS = np.arange(256, dtype=np.uint8)


def loaded(rule: str) -> np.ndarray:
    """All levels as the loader of the rule's code brings them to [-1, 1], float32."""
    if rule == "truncate64":
        return (LEVELS / 127.5 - 1.0).astype(np.float32)
    return (LEVELS.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)


THEIRS = {
    "round": lambda x: np.round(np.clip((x + 1) / 2, 0, 1) * 255),
    "truncate": lambda x: np.trunc(np.clip(x * 0.5 + 0.5, 0, 1) * 255),
    "truncate64": lambda x: np.trunc((np.clip(x, -1, 1) + 1) / 2 * 255),
    "shift": lambda x: np.trunc(np.clip(127.5 * x + 128, 0, 255)),
}


@pytest.mark.parametrize("rule", THEIRS)
def test_reconstructions_and_originals_as_the_papers_code_has_them(rule):
    floats = np.random.default_rng(0).normal(0, 0.7, (2, 3, 40, 40)).astype(np.float32)
    found = quantise_reconstructions(torch.from_numpy(floats), rule)
    assert found.dtype == torch.uint8
    if rule == "truncate":  # `truncate_made` is the same for reconstructions
        made = quantise_reconstructions(torch.from_numpy(floats), "truncate_made")
        assert torch.equal(found, made)
    np.testing.assert_array_equal(found, THEIRS[rule](floats))
    originals = torch.from_numpy(LEVELS.reshape(1, 1, 16, 16))
    np.testing.assert_array_equal(
        quantise_originals(originals, rule).flatten(), THEIRS[rule](loaded(rule))
    )


def test_truncation_lowers_levels_of_the_originals_and_the_other_rules_keep_all():
    lowered = {rule: LEVELS - level_table(rule).numpy() for rule in ("truncate", "truncate64")}
    assert {rule: found.max() for rule, found in lowered.items()} == dict.fromkeys(lowered, 1)
    assert {rule: found.sum() for rule, found in lowered.items()} == {
        "truncate": 63,
        "truncate64": 95,
    }
    assert [level_table(rule) for rule in ("round", "shift", "truncate_made", "none")] == [None] * 4


def test_titoks_cast_after_rounding_loses_no_level():
    """round(255 x) / 255, then 255 x cast to 8 bits: rounding alone, so its rule is `round`."""
    unit = torch.arange(256) / 255
    assert torch.equal((unit * 255).to(torch.uint8), torch.arange(256, dtype=torch.uint8))


def test_truncation_costs_half_a_level():
    """Errors of a uniform grey: rounding errs by 0 on average, truncation by -1/2."""
    x = torch.linspace(-0.9, 0.9, 100_000).view(1, 1, 100, 1000)
    exact = (x + 1) * 127.5
    errors = {
        r: (quantise_reconstructions(x, r) - exact).mean().item() for r in ("round", "truncate")
    }
    assert errors["round"] == pytest.approx(0, abs=1e-2)
    assert errors["truncate"] == pytest.approx(-0.5, abs=1e-2)


def test_8_bits_and_floats_without_a_rule_stay():
    given = torch.tensor([[[[0, 7, 255]]]], dtype=torch.uint8)
    assert quantise_reconstructions(given, "round") is quantise_originals(given, "round") is given
    floats = torch.tensor([[[[-2.0, 0.3, 1.5]]]])
    assert torch.equal(
        quantise_reconstructions(floats, "none"), torch.tensor([[[[-1.0, 0.3, 1.0]]]])
    )
