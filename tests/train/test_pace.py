"""What is counted in a step, and that counting leaves nothing behind."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from msdd.tracking.mfu import pace, step_flops


@pytest.fixture
def job():
    """A linear layer of 12 to 5: a product forwards, and one backwards for its weight."""
    network = nn.Linear(12, 5, bias=False)
    losses = lambda images: {"loss": network(images.flatten(1)).square().mean()}  # noqa: E731
    settings = SimpleNamespace(precision="fp32")
    return SimpleNamespace(network=network, losses=losses, settings=settings)


def test_a_step_is_its_products(job):
    before = job.network.weight.clone()
    assert step_flops(job, torch.randn(7, 3, 2, 2)) == 2 * (2 * 7 * 12 * 5)
    assert torch.equal(job.network.weight, before) and job.network.weight.grad is None


def test_attention_counts(job):
    """Of two images, three tokens of four: two products forwards, four backwards."""

    def losses(images):
        q = job.network(images.flatten(1))[:, None, None, :4].expand(-1, 1, 3, 4)
        return {"loss": F.scaled_dot_product_attention(q, q, q).square().mean()}

    linear = 2 * (2 * 2 * 12 * 5)
    found = step_flops(SimpleNamespace(**vars(job) | {"losses": losses}), torch.randn(2, 3, 2, 2))
    assert found == linear + 6 * (2 * 2 * 3 * 3 * 4)


def test_pace_is_per_second(job):
    """A thousand images in eight seconds."""
    found = pace(job, torch.randn(4, 3, 2, 2), trained=1000, seconds=8.0)
    assert found.images_per_second == 125
    assert found.flops_per_second == 125 * 2 * 2 * 12 * 5
    assert 0 < found.share < 1
    assert str(found).startswith("125 images/s, 3e-08 TFLOP/s, 0%")
