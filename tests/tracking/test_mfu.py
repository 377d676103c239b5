"""What is counted in a step, and what the speed of a training is made of."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from msdd.tracking.mfu import step_flops, training_speed


@pytest.fixture
def network():
    """A linear layer of 12 to 5: a product forwards, and one backwards for its weight."""
    return nn.Linear(12, 5, bias=False)


def test_a_step_is_its_products(network):
    loss = lambda images: network(images.flatten(1)).square().mean()  # noqa: E731
    assert step_flops(loss, torch.randn(7, 3, 2, 2), "fp32") == 2 * (2 * 7 * 12 * 5)


def test_attention_counts(network):
    """Of two images, three tokens of four: two products forwards, four backwards."""

    def loss(images):
        q = network(images.flatten(1))[:, None, None, :4].expand(-1, 1, 3, 4)
        return F.scaled_dot_product_attention(q, q, q).square().mean()

    linear = 2 * (2 * 2 * 12 * 5)
    found = step_flops(loss, torch.randn(2, 3, 2, 2), "fp32")
    assert found == linear + 6 * (2 * 2 * 3 * 3 * 4)


def test_speed_is_per_second(network):
    """A thousand images in eight seconds."""
    loss = lambda images: network(images.flatten(1)).square().mean()  # noqa: E731
    found = training_speed(loss, torch.randn(4, 3, 2, 2), "fp32", trained=1000, seconds=8.0)
    assert found.images_per_second == 125
    assert found.flops_per_second == 125 * 2 * 2 * 12 * 5
    assert 0 < found.mfu < 1
    assert str(found).startswith("125 images/s, 3e-08 TFLOP/s, 0%")
