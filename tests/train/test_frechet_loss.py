"""A Fréchet distance as a loss: the distance, its gradient, and what is kept between steps."""

import shutil

import pytest
import torch
from interruption import assert_equal_to_the_bit, interrupted
from torch import nn

from msdd.commands.stages import run_stage
from msdd.metrics.frechet import Moments, frechet_distance
from msdd.params import student_checks
from msdd.params.schema import Student
from msdd.params.sections import Frechet
from msdd.pipeline import layout
from msdd.tokenizers.msdd import load
from msdd.train import distil
from msdd.train.frechet import Space, moments, sums_of, transport
from msdd.train.team import ALONE
from msdd.weights.representations import REPRESENTATIONS

SCALE = layout.scale("msdd", "msdd-1step", 1)
MIX = torch.tensor([[1.0, 0.4, 0.0], [0.0, 0.7, -0.2], [0.3, 0.0, 1.5]])


def draw(count, seed, mix=None, shift=0.0):
    """Features (count, 3)."""
    normals = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return normals if mix is None else normals @ mix + shift


def images(features):
    """Images whose features these are to a network that only flattens."""
    return features[:, :, None, None]


def test_the_way_of_the_transport_is_the_distance():
    """Equal populations stay; others end with the moments of the target."""
    a, b = draw(4000, 1).double(), draw(4000, 2, MIX, 0.5).double()
    move = transport(moments(sums_of(a)), moments(sums_of(b)))
    by_metric = frechet_distance(*(moments_of(x) for x in (a, b)))
    assert move.distance.item() == pytest.approx(by_metric, rel=3e-3)
    moved = move(a.float()).double()
    assert (a - moved).square().sum(1).mean().item() == pytest.approx(by_metric, rel=3e-3)
    for found, expected in zip(moments(sums_of(moved)), moments(sums_of(b)), strict=True):
        torch.testing.assert_close(found, expected, atol=3e-3, rtol=3e-3)
    still = transport(moments(sums_of(a)), moments(sums_of(a)))
    assert still.distance.item() < 0.01
    torch.testing.assert_close(still(a.float()), a.float(), atol=1e-4, rtol=1e-4)


def moments_of(features):
    found = Moments(features.shape[1])
    found.update(features)
    return found


def test_the_gradient_is_that_of_the_distance_of_the_populations():
    """Against differences of the distance when one image of many is moved a little."""
    a, b = draw(500, 3).double(), draw(500, 4, MIX, 0.5).double()
    space = Space(nn.Flatten(), half_life=10**9)
    space.transport = transport(moments(sums_of(a)), moments(sums_of(b)))
    feature = a[:1].float().requires_grad_()
    space.distance(images(feature), images(b[:1].float())).backward()

    def distance(moved):
        changed = torch.cat([moved, a[1:]])
        return transport(moments(sums_of(changed)), moments(sums_of(b))).distance.double()

    for k in range(3):
        little = torch.zeros(1, 3, dtype=torch.double)
        little[0, k] = 1.0
        slope = (distance(a[:1] + little) - distance(a[:1] - little)) / 2 * len(a)
        assert feature.grad[0, k].item() == pytest.approx(slope.item(), rel=0.05, abs=0.05)


def test_the_params_know_how_many_features_a_network_has():
    known = {name: REPRESENTATIONS[name].dimensions for name in student_checks.FEATURES}
    assert known == student_checks.FEATURES


def test_what_has_collapsed_is_drawn_apart():
    """In a direction in which made images hardly vary and real ones do."""
    a, b = draw(4000, 1) * torch.tensor([1.0, 1.0, 1e-3]), draw(4000, 2)
    move = transport(moments(sums_of(a)), moments(sums_of(b)))
    moved = move(a)
    assert moved[:, 2].std() > 10 * a[:, 2].std()
    assert torch.corrcoef(torch.stack([moved[:, 2], a[:, 2]]))[0, 1] > 0


def test_equal_and_constant_features_have_a_loss_of_nearly_0():
    for same in (images(torch.zeros(8, 3)), images(draw(8, 11))):
        space = Space(nn.Flatten(), half_life=2)
        for _ in range(2):
            distance = space.distance(same, same)
            space.step(ALONE)
        assert 0 <= (distance / space.transport.distance).item() < 0.1


def test_a_shift_and_a_mix_are_learned():
    """A linear map of noise becomes the target's population, in which no image has a partner."""
    space = Space(nn.Flatten(), half_life=512)
    layer = nn.Linear(3, 3)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.005)
    for step in range(600):
        made, real = layer(draw(64, 1000 + step)), draw(64, 5000 + step, MIX, 0.5)
        distance = space.distance(images(made), images(real))
        if distance is not None:
            optimiser.zero_grad()
            distance.backward()
            optimiser.step()
        space.step(ALONE)
    a, b = draw(20000, 7), draw(20000, 8, MIX, 0.5)
    before = frechet_distance(moments_of(a), moments_of(b))
    after = frechet_distance(moments_of(layer(a).detach()), moments_of(b))
    assert after < before / 50


def test_parts_of_a_batch_count_as_the_batch():
    a, b = draw(8, 9), draw(8, 10)
    whole, parts = Space(nn.Flatten(), 4), Space(nn.Flatten(), 4)
    for space, sizes in ((whole, (8,)), (parts, (2, 4, 2))):
        for one, other in zip(a.split(sizes), b.split(sizes), strict=True):
            assert space.distance(images(one), images(other)) is None
        space.step(ALONE)
    for found, expected in zip(parts.transport, whole.transport, strict=True):
        torch.testing.assert_close(found, expected)


def test_what_is_older_than_a_half_life_counts_half():
    space = Space(nn.Flatten(), half_life=4)
    for value in (0.0, 3.0):
        same = images(torch.full((4, 3), value))
        space.distance(same, same)
        space.step(ALONE)
    mean, _ = moments(space.made)
    assert mean.tolist() == pytest.approx([2.0] * 3)


def test_alone_it_learns_nothing_while_it_collects(tiny_params, work):
    """Images of two half-lives, then of one more step."""
    frechet = Frechet(weight=(0, 1.0), networks=("efficientnet-lite0",), half_life=4)
    for images, learned in ((8, False), (16, True)):
        sizes = {"images": images, "batch": 8, "warmup": 0, "log_every": 8, "checkpoint_every": 8}
        changes = {"mode": "joint", "mse_teacher": 0, "mse_real": 0, "frechet": frechet, **sizes}
        row = Student(model="msdd").model_copy(update=changes)
        params = tiny_params.model_copy(update={"students": tiny_params.students | {"x": row}})
        shutil.rmtree(work / layout.assembled("msdd", "x"), ignore_errors=True)
        run_stage(params, "chain", work, student="x")
        folders = layout.assembled("msdd", "x"), layout.stage1("msdd")
        weights = [load(work / folder).decoders[0].parameters() for folder in folders]
        assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True)) != learned


def test_an_interrupted_distillation_goes_on_to_the_same_bits(
    tiny_params, work, states, monkeypatch
):
    """With moments and a transport that were made before the checkpoint."""
    frechet = Frechet(weight=(0, 0.1), networks=("efficientnet-lite0",), half_life=4)
    sizes = {"batch": 8, "warmup": 8, "images": 24, "checkpoint_every": 16, "log_every": 8}
    section = tiny_params.distil.model_copy(update={"frechet": frechet, **sizes})
    params = tiny_params.model_copy(update={"distil": section})
    shutil.rmtree(work / SCALE)
    run_stage(params, "distil", work, student="msdd-1step", scale=1)
    shutil.rmtree(work / SCALE)
    with interrupted(monkeypatch, distil, step=3):
        run_stage(params, "distil", work, student="msdd-1step", scale=1)
    last = run_stage(params, "distil", work, student="msdd-1step", scale=1)
    uninterrupted, _, resumed = states
    assert_equal_to_the_bit(uninterrupted, resumed)
    assert resumed.frechet.spaces["efficientnet-lite0"].transport is not None
    assert last["frechet"] > 0 and last["fd_efficientnet_lite0"] > 0
