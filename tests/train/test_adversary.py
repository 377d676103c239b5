"""Hinge losses by their closed forms, the adaptive weight by its definition."""

import pytest
import torch
from torch import nn

from msdd.train.adversary import Adversary, adaptive_weight, hinge_discriminator, hinge_generator
from msdd.train.discriminator import discriminator


def test_hinge_closed_forms():
    real, fake = torch.tensor([[2.0, 0.5, -1.0]]), torch.tensor([[-3.0, 0.0], [1.0, -0.5]])
    assert hinge_discriminator(real, fake) == pytest.approx(0.5 * (2.5 / 3 + 3.5 / 4))
    assert hinge_generator(fake) == pytest.approx(2.5 / 4)
    assert hinge_discriminator(torch.zeros(3), torch.zeros(5)) == 1
    assert hinge_discriminator(torch.full((3,), 1.5), torch.full((5,), -1.5)) == 0


def test_hinge_pushes_only_what_is_inside_the_margin():
    real = torch.tensor([0.5, 1.5], requires_grad=True)
    fake = torch.tensor([-0.5, -1.5], requires_grad=True)
    hinge_discriminator(real, fake).backward()
    assert real.grad.tolist() == [-0.25, 0]
    assert fake.grad.tolist() == [0.25, 0]


@pytest.fixture
def game():
    """A tiny net, its reconstruction loss, and one adversarial loss of its output."""
    torch.manual_seed(0)
    first, last = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    out = last(first(torch.randn(5, 3, dtype=torch.double)).tanh())
    return last.weight, (out - 0.3).square().mean(), -out.sin().mean()


def norm(loss, weight):
    return torch.autograd.grad(loss, weight, retain_graph=True)[0].square().sum().sqrt()


def test_adaptive_weight_by_its_definition(game):
    weight, reconstruction, adversarial = game
    expected = norm(reconstruction, weight) / (norm(adversarial, weight) + 1e-4)
    found = adaptive_weight(reconstruction, adversarial, weight)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    assert not found.requires_grad
    assert weight.grad is None


def test_adaptive_weight_by_hand():
    """Gradients (3, 4) and (0, 2) have norms 5 and 2."""
    weight = torch.zeros(2, requires_grad=True)
    found = adaptive_weight(3 * weight[0] + 4 * weight[1], 2 * weight[1], weight)
    assert found.item() == pytest.approx(5 / 2.0001)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_weighted_adversarial_gradient_has_the_reconstructions_norm(game, factor):
    weight, reconstruction, adversarial = game
    adversarial = factor * adversarial
    found = adaptive_weight(reconstruction, adversarial, weight)
    weighted = norm(found * adversarial, weight)
    tolerance = 2e-4 / norm(adversarial, weight).item()
    assert weighted.item() == pytest.approx(norm(reconstruction, weight).item(), rel=tolerance)


def test_vanishing_adversarial_gradient_is_clamped(game):
    weight, reconstruction, adversarial = game
    small = adaptive_weight(reconstruction, 0 * adversarial, weight)
    assert small.item() == pytest.approx(1e4 * norm(reconstruction, weight).item())
    assert adaptive_weight(1e6 * reconstruction, 0 * adversarial, weight) == 1e4
    assert adaptive_weight(reconstruction, adversarial, weight, maximum=1e-3).item() == 1e-3
    assert adaptive_weight(0 * reconstruction, adversarial, weight) == 0


def test_what_was_judged_in_parts_is_learned_as_a_whole():
    """Once, and then forgotten."""
    fake, real = torch.randn(2, 8, 3, 16, 16)
    learned = []
    for size in (8, 2):
        torch.manual_seed(0)
        adversary = Adversary(discriminator("patch").eval(), 1e-3, (0.5, 0.9))
        for parts in zip(fake.split(size), real.split(size), strict=True):
            adversary.judge(*parts)
        learned.append([*adversary.step(1.0), *(p.grad for p in adversary.network.parameters())])
        assert adversary.seen == []
    torch.testing.assert_close(*learned, rtol=1e-3, atol=1e-3)


def test_a_discriminator_learns_the_game():
    """Smooth pictures against noise: the patch network separates them at once."""
    torch.manual_seed(0)
    judge = discriminator("patch")
    optimiser = torch.optim.Adam(judge.parameters(), 2e-3)
    for _ in range(40):
        real = nn.functional.interpolate(torch.randn(8, 3, 4, 4), 16, mode="bilinear")
        fake = torch.randn(8, 3, 16, 16)
        loss = hinge_discriminator(judge(real), judge(fake))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.5
    assert judge(real).mean() > judge(fake).mean()
