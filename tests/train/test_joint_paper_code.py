"""The authors' joint distillation against a slow restatement of it, with the same random draws."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from msdd.flow.scales import split_time
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.train import joint_paper_code
from msdd.train.objective import Objective
from msdd.weights.pretrained_networks import lpips_network

CONFIG = ModelConfig(
    resolution=16,
    scales=3,
    patch=2,
    encoder_patch=4,
    width=16,
    depth=2,
    heads=2,
    latents=4,
    latent_dim=4,
    positions="grid",
)
END, START = (2 / 3, 1 / 3, 0), (1, 4 / 5, 1 / 2)  # noise levels of three scales


@pytest.mark.parametrize("S", range(1, 6))
def test_the_first_scale_is_the_one_whose_times_hold_u(S):
    """Ends belong to the finer scale, and every u in [0, 1) to one."""
    for scale in split_time(S):
        inside = [scale.last + share * (scale.first - scale.last) for share in (0, 0.01, 0.5, 0.99)]
        assert [joint_paper_code.start_of(u, split_time(S)) for u in inside] == [scale.index] * 4


@pytest.fixture
def networks():
    """Teacher and student of random weights, so that every input shows."""
    torch.manual_seed(0)
    teacher, student = Autoencoder(CONFIG), nn.ModuleList([Decoder(CONFIG)])
    for p in (*teacher.parameters(), *student.parameters()):
        p.data += 0.1 * torch.randn_like(p)
    return teacher, student


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture
def settings(tiny_params):
    changes = {"lpips": (0, 0, 0.5), "lpips_net": "alex", "gan": (0, 0, 1), "teacher_steps": 7}
    return tiny_params.distil.model_copy(update=changes | {"guidance": (1.5, 2.0, 1.2)})


def block_noise(normals: torch.Tensor) -> torch.Tensor:
    """Block by block: a root of the 4x4 covariance with 1 on its diagonal and +1/3 beside it."""
    values, vectors = torch.linalg.eigh(torch.full((4, 4), 1 / 3) + 2 / 3 * torch.eye(4))
    root = vectors @ values.sqrt().diag() @ vectors.T
    noise = torch.empty_like(normals)
    for i in range(0, normals.shape[2], 2):
        for j in range(0, normals.shape[3], 2):
            block = normals[:, :, i : i + 2, j : j + 2]
            noise[:, :, i : i + 2, j : j + 2] = (block.flatten(2) @ root).view_as(block)
    return noise


def decode(velocity, x, first, normals):
    """End states of scales `first` to 2, in one step each."""
    states = []
    for i in range(first, 3):
        x = x - velocity(x, 1.0, split_time(3)[i])
        states.append(x)
        if i < 2:
            e, larger = END[i], interpolate(x, scale_factor=2, mode="nearest")
            noise = block_noise(normals[i - first])
            x = larger / (1 + e) + 3**0.5 * e / (1 + e) * noise
    return states


def restated(network, teacher, images, guidance, discriminator):
    """L = w g + 2.5 (c r + p_w p), p_w = 0.5, in the order in which the code draws."""
    z = teacher.encoder(images).detach()

    def student(x, t, scale):
        return network[0].velocity(x, t, scale, z)

    def guided(x, t, scale):
        null = teacher.decoder.velocity(x, t, scale, None)
        v = teacher.decoder.velocity(x, t, scale, z)
        return (null + guidance[scale.index] * (v - null)).detach()

    drawn = [torch.randn(2, 3, side, side) for side in (4, 8, 16)]
    ours = decode(student, drawn[0], 0, drawn[1:])
    u = torch.rand(()).item()
    lengths = [s - e for s, e in zip(START, END, strict=True)]
    lasts = [1 - sum(lengths[: i + 1]) / sum(lengths) for i in range(3)]
    first = next(i for i in range(3) if u >= lasts[i] - 1e-9)
    x = ours[-1].detach()
    for _ in range(2 - first):
        x = interpolate(x, scale_factor=0.5, mode="bilinear")
    x = (1 - u) * x + u * torch.randn_like(x)
    fresh = [torch.randn(2, 3, side, side) for side in (8, 16)[first:]]
    theirs = decode(guided, x, first, fresh)

    r = sum((a - b).square().mean() for a, b in zip(ours[first:], theirs, strict=True))
    p = lpips_network("alex")(interpolate(ours[-1], 64), interpolate(images, 64)).mean()
    g = -discriminator(ours[-1]).mean()
    layer = network[0].head.weight
    norms = [
        torch.autograd.grad(loss, layer, retain_graph=True)[0].norm() for loss in (r + 0.5 * p, g)
    ]
    w = min(norms[0].item() / (norms[1].item() + 1e-4), 1e4)
    terms = {"mse_teacher": r, "lpips": p, "gan": g, "adaptive_weight": torch.tensor(w)}
    return first, terms | {"loss": w * g + 2.5 * (r / (1 + u) + 0.5 * p)}


@pytest.mark.parametrize("seed, first", [(2, 0), (1, 1), (9, 2)])
def test_the_loss_against_its_restatement(networks, images, settings, seed, first):
    """And its gradient, for a random level in each of the scales."""
    teacher, student = networks
    objective = Objective(settings, CONFIG.sides, 2, student[0].head.weight, seed=0)
    discriminator = copy.deepcopy(objective.adversary.network).requires_grad_(False)
    torch.manual_seed(seed)
    found = joint_paper_code.losses(student, teacher, images, settings, objective)
    torch.manual_seed(seed)
    begun, expected = restated(student, teacher, images, settings.guidance, discriminator)
    assert begun == first
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    parameters = [p for name, p in student.named_parameters() if name != "0.null"]
    gradients = [torch.autograd.grad(terms["loss"], parameters) for terms in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())


def test_gradients_reach_the_student_alone(networks, images, settings):
    teacher, student = networks
    objective = Objective(settings, CONFIG.sides, 2, student[0].head.weight, seed=0)
    joint_paper_code.losses(student, teacher, images, settings, objective)["loss"].backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert student[0].head.weight.grad.any()


def test_without_weight_no_network_is_made(networks, images, settings, monkeypatch):
    teacher, student = networks
    none = settings.model_copy(update={"lpips": 0.5, "gan": 0.5})  # numbers, and 16 px
    objective = Objective(none, CONFIG.sides, 2, student[0].head.weight, seed=0)
    assert objective.lpips is None and objective.adversary is None
    terms = joint_paper_code.losses(student, teacher, images, none, objective)
    assert terms.keys() == {"loss", "mse_teacher"}
