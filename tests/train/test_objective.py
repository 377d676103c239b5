"""The losses all students share: their weights at each scale, their sum, and who learns from it."""

import copy

import pytest
import torch
from torch import nn

from msdd.train import objective
from msdd.train.objective import Objective
from msdd.train.weight import weight_at
from msdd.weights.pretrained_networks import lpips_network

SIDES = [8, 16, 32, 64]


@pytest.mark.parametrize(
    "weight, expected",
    [(0.5, [0, 0, 0.5, 0.5]), ((0.5, 0, 0.1, 2), [0.5, 0, 0.1, 2]), (0.0, [0, 0, 0, 0])],
)
def test_a_number_is_0_below_32_px_and_a_list_is_taken_as_it_stands(weight, expected):
    assert [weight_at(weight, SIDES, k) for k in range(4)] == expected


class Painter(nn.Module):
    """Images of 16 px from nothing but weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.canvas = nn.Parameter(torch.randn(4, 8, 16, 16))
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self):
        return torch.tanh(self.head(self.canvas))


@pytest.fixture
def student():
    return Painter()


@pytest.fixture
def real():
    return torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def objective_of(tiny_params, student, **changes) -> Objective:
    """Of a model with one scale of 16 px."""
    settings = tiny_params.distil.model_copy(update={"lpips_net": "alex"} | changes)
    return Objective(settings, [16], 0, student.head.weight, seed=0)


def gradients(loss: torch.Tensor, student: Painter) -> list[torch.Tensor]:
    return torch.autograd.grad(loss, list(student.parameters()), retain_graph=True)


def test_the_loss_is_its_weighted_terms(tiny_params, student, real):
    """2 x error + 0.3 LPIPS + 0.2 w g: the adversary's gradient in the last layer is 0.2 times as
    long as that of the rest."""
    judged = objective_of(tiny_params, student, mse_teacher=2.0, lpips=(0.3,), gan=(0.2,))
    discriminator = copy.deepcopy(judged.adversary.network)
    images = student()
    error = (images - 0.1).square().mean()
    terms = judged({"mse_teacher": error}, images, real)
    assert terms.keys() == {"loss", "mse_teacher", "lpips", "gan", "adaptive_weight"}

    enlarged = (nn.functional.interpolate(x, 64) for x in (images, real))
    lpips = lpips_network("alex")(*enlarged).mean()
    g = -discriminator(images).mean()
    plain = 2 * error + 0.3 * lpips
    norms = [gradients(loss, student)[1].norm() for loss in (plain, g)]
    w = norms[0] / (norms[1] + 1e-4)
    expected = gradients(plain + 0.2 * w.detach() * g, student)
    torch.testing.assert_close(terms["lpips"], lpips)
    torch.testing.assert_close(terms["gan"], g)
    torch.testing.assert_close(terms["adaptive_weight"], w)
    torch.testing.assert_close(terms["loss"], plain + 0.2 * w * g)
    for found, one in zip(gradients(terms["loss"], student), expected, strict=True):
        torch.testing.assert_close(found, one, rtol=1e-4, atol=1e-7)
    share = gradients(terms["loss"] - plain, student)[1].norm() / norms[0]
    assert share.item() == pytest.approx(0.2, rel=2e-4 / norms[1].item())


@pytest.mark.parametrize("weight", [0.5, (0.0,)], ids=["a number below 32 px", "a list"])
def test_without_weight_no_network_is_made(tiny_params, student, real, monkeypatch, weight):
    for network in ("lpips_network", "discriminator", "adaptive_weight"):
        monkeypatch.setattr(objective, network, lambda *_: pytest.fail("was used"))
    judged = objective_of(tiny_params, student, lpips=weight, gan=weight, mse_real=3.0)
    error = student().square().mean()
    assert judged({"mse_real": error}, student(), real) == {"loss": 3 * error, "mse_real": error}


def test_student_and_discriminator_learn_each_from_its_own_loss(tiny_params, student, real):
    judged = objective_of(tiny_params, student, gan=(0.5,))
    adversary, images = judged.adversary, student()
    judged({"mse_teacher": images.square().mean()}, images, real)["loss"].backward()
    assert all(p.grad is None for p in adversary.network.parameters())
    assert all(p.grad.any() for p in student.parameters())

    learnt = [p.grad.clone() for p in student.parameters()]
    before = next(adversary.network.parameters()).clone()
    assert adversary.step(0.5)[0] > 0
    assert all(torch.equal(p.grad, g) for p, g in zip(student.parameters(), learnt, strict=True))
    assert not torch.equal(next(adversary.network.parameters()), before)
    rate = tiny_params.distil.discriminator_learning_rate
    assert {group["lr"] for group in adversary.optimiser.param_groups} == {0.5 * rate}


def test_a_seed_decides_the_discriminator(tiny_params, student):
    first, second = (
        objective_of(tiny_params, student, gan=(1.0,)).adversary.network.state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(value, second[name]) for name, value in first.items())
