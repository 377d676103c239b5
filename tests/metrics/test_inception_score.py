"""The Inception score against torch-fidelity's function and guided-diffusion's rule, restated."""

import numpy as np
import pytest
import torch

from msdd.metrics.inception_score import Scores, splits_in_order, splits_shuffled
from msdd.weights.optional_imports import import_torchvision

import_torchvision()
from torch_fidelity.metric_isc import isc_features_to_metric  # noqa: E402

COUNT, CLASSES = 57, 40


@pytest.fixture(scope="module")
def logits() -> torch.Tensor:
    return 3 * torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(0))


def scored(logits: torch.Tensor, splits: torch.Tensor, parts: list[list[int]]) -> Scores:
    """Summed part by part, and merged from one object for each."""
    whole = Scores(splits, logits.shape[1])
    for ids in parts:
        one = Scores(splits, logits.shape[1])
        one.update(ids, logits[ids])
        whole.merge(one)
    return whole


def test_shuffled_splits_are_those_of_torch_fidelity(logits):
    expected = isc_features_to_metric(logits, splits=10, shuffle=True, rng_seed=2020)
    splits = splits_shuffled(COUNT, 10, 2020)
    found = scored(logits, splits, [list(range(COUNT))]).score()
    assert found == pytest.approx(tuple(expected.values()), rel=1e-12)


def test_splits_in_order_are_those_of_guided_diffusion(logits):
    """Its evaluator takes 5,000 images a split, the last split as it comes; the mean of them."""
    scores = []
    for part in np.split(logits.softmax(1).numpy().astype(np.float64), [20, 40]):
        q = part.mean(0, keepdims=True)
        scores.append(np.exp((part * (np.log(part) - np.log(q))).sum(1).mean()))
    found = scored(logits, splits_in_order(COUNT, 20), [list(range(COUNT))]).score()
    assert found == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-6)


def test_the_order_of_parts_changes_no_bit(logits):
    splits = splits_shuffled(COUNT, 5, 1)
    parts = [list(range(start, min(start + 8, COUNT))) for start in range(0, COUNT, 8)]
    forth, back = (scored(logits, splits, order).score() for order in (parts, parts[::-1]))
    assert forth == back


def test_closed_forms():
    ids = list(range(12))
    same = torch.randn(1, 9).expand(12, 9)
    assert scored(same, splits_in_order(12, 4), [ids]).score() == pytest.approx((1, 0), abs=1e-9)
    certain = 1e4 * torch.eye(6).repeat(2, 1)  # probabilities of 0 and 1: no NaN
    assert scored(certain, splits_in_order(12, 6), [ids]).score() == pytest.approx((6, 0))
