"""FLOPs of the networks that judge images, against a count of what the real ones do."""

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from random_inception import random_inception
from torch.utils.flop_counter import FlopCounterMode

from msdd.speed import judges
from msdd.speed.flop_counter import count_flops
from msdd.train.adversary import Adversary, adaptive_weight
from msdd.train.discriminator import (
    DINO,
    DinoFeatures,
    FeatureDiscriminator,
    LpipsFeatures,
    PatchDiscriminator,
)
from msdd.train.frechet import Space
from msdd.train.team import ALONE
from msdd.weights.features import EfficientNetLite, Inception, lpips_distance
from msdd.weights.optional_imports import import_timm, import_torchvision

import_torchvision()
import lpips  # noqa: E402


def images(side: int) -> torch.Tensor:
    return torch.zeros(1, 3, side, side)


def distance(net: str) -> lpips.LPIPS:
    network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    return network.eval().requires_grad_(False)


def dino():
    return import_timm("this test").create_model(DINO, num_classes=0).requires_grad_(False)


def judge(name: str) -> torch.nn.Module:
    if name == "patch":
        return PatchDiscriminator()
    if name == "dino":
        return FeatureDiscriminator(DinoFeatures(dino()), [384] * 5)
    network = distance(name)
    return FeatureDiscriminator(LpipsFeatures(network), network.chns)


@pytest.mark.parametrize("side", [32, 64, 100])
@pytest.mark.parametrize("net", judges.LAYERS)
def test_lpips_and_its_gradient(net, side):
    network, a = distance(net), images(side).requires_grad_()
    with FlopCounterMode(display=False) as counter:
        distance_of_two = lpips_distance(network, a, images(side))
    assert counter.get_total_flops() == judges.lpips(net, side)
    with counter:
        distance_of_two.sum().backward()
    assert judges.lpips(net, side) + counter.get_total_flops() == judges.lpips(net, side, 1)


@pytest.mark.parametrize(
    ("name", "side"), [("patch", 32), ("patch", 50), ("alex", 32), ("vgg", 64), ("dino", 32)]
)
def test_a_discriminator(name, side):
    network = judge(name).eval().requires_grad_(False)
    found = count_flops(lambda: network(images(side)))
    assert found == sum(judges.discriminator(name, side))


@pytest.mark.parametrize(("name", "side"), [("patch", 32), ("alex", 64)])
def test_a_step_of_an_adversary(name, side):
    """Within a tenth: layers that see the images themselves need fewer gradients."""
    layer = torch.ones(1, requires_grad=True)
    adversary = Adversary(judge(name), 1e-3, (0.9, 0.95))
    with FlopCounterMode(display=False) as counter:
        made = images(side) + layer
        loss = adversary.judge(made, images(side))
        (adaptive_weight(made.sum(), loss, layer) * loss).backward()
        adversary.step(1.0)
    assert counter.get_total_flops() == pytest.approx(judges.adversary(name, side), rel=0.1)


def test_a_frechet_distance_as_a_loss():
    """Within a twentieth: the first layer needs no gradient of what lies before it."""
    lite = EfficientNetLite(EfficientNet.from_name("efficientnet-lite0").state_dict())
    space = Space(lite.requires_grad_(False).eval(), half_life=1)
    for _ in range(2):
        with FlopCounterMode(display=False) as counter:
            loss = space.distance(images(32).requires_grad_(), images(32))
            if loss is not None:
                loss.backward()
        space.kept = [(torch.randn(2, 1280), torch.randn(2, 1280))]
        space.step(ALONE)
    expected = judges.frechet(["efficientnet-lite0"])
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


def test_networks_of_one_size():
    lite = EfficientNetLite(EfficientNet.from_name("efficientnet-lite0").state_dict())
    lite.requires_grad_(False).eval()
    assert count_flops(lambda: lite(images(32))) == judges.FEATURES["efficientnet-lite0"]
    vit = DinoFeatures(dino())
    assert count_flops(lambda: vit(images(32))) == judges.DINO
    fid = Inception(random_inception()).requires_grad_(False)
    assert count_flops(lambda: fid(images(32))) == judges.FEATURES["inception"]
