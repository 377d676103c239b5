"""Trainings that stop in the middle, and how those that went on are compared."""

from contextlib import contextmanager

import pytest
import torch


class Interruption(BaseException):
    """Nobody handles it, as nobody handles a signal."""


@contextmanager
def interrupted(monkeypatch, module, step: int):
    """The training that `module` runs here ends in the middle of this step (1 is the first)."""
    losses, before = module.losses, iter(range(1, step))

    def failing(*arguments):
        terms = losses(*arguments)
        if next(before, None) is None:
            raise Interruption
        return terms

    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(module, "losses", failing)
        yield


def assert_equal_to_the_bit(a, b) -> None:
    """Two `msdd.train.state.State`s: weights, average, adversary, optimisers and curve."""
    assert a.images == b.images and a.curve == b.curve
    assert_same(content(a), content(b))


def content(state) -> dict:
    judge = state.adversary.state_dict() if state.adversary else {}
    frechet = state.frechet.state_dict() if state.frechet else {}
    parts = {"network": state.network, "optimiser": state.optimiser, "ema": state.ema}
    return {name: part.state_dict() for name, part in parts.items()} | {
        "adversary": judge,
        "frechet": frechet,
    }


def assert_same(a, b, name: str = "") -> None:
    """Nested dictionaries and tuples of tensors and plain values."""
    if isinstance(a, tuple):
        a, b = dict(enumerate(a)), dict(enumerate(b))
    if isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            assert_same(a[key], b[key], f"{name}.{key}")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, name
