"""FLOPs of the networks that judge images, from their shapes.

A multiply-add is 2 FLOPs; only convolutions and matrix products count. By this definition the
forward passes here equal those of `torch.utils.flop_counter.FlopCounterMode`
(tests/speed/test_judges.py). All FLOPs are those of one image.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msdd.weights.trunk_layers import LAYERS

PATCH = [(32, 4, 2, 1), (64, 4, 2, 1), (1, 3, 1, 1)]  # the small discriminator on pixels
SMALLEST = 64  # pixels a side for the trunks: smaller images are enlarged
KERNEL = 9  # of a discriminator's heads
# At the one size that each takes, 224, 224, 260 and 299 px: counted once, by torch 2.13.
DINO = 9_196_996_608
FEATURES = {
    "efficientnet-lite0": 767_815_104,
    "efficientnet-lite2": 1_716_912_544,
    "inception": 11_422_336_192,
}
DINO_MAPS = (5, 384, 196)  # how many, channels, positions
# A judgement is a forward pass and two gradients with respect to the image, because the adaptive
# weight takes one of its own. Learning passes forward twice, for a real and a made image, and
# where weights are trained has the gradients of images and weights as well.
JUDGING, LEARNING, TRAINED = 3, 2, 6


class Map(NamedTuple):
    """One map of a trunk: FLOPs since the one before it, channels, and pixels a side."""

    flops: int
    channels: int
    side: int


def convolutions(layers: list[tuple[int, int, int, int]], channels: int, side: int) -> Map:
    """The map after some layers, of one with these channels and this side."""
    flops = 0
    for outputs, kernel, stride, padding in layers:
        side = (side + 2 * padding - kernel) // stride + 1
        flops += 2 * side**2 * outputs * channels * kernel**2
        channels = outputs or channels
    return Map(flops, channels, side)


def trunk(net: str, side: int) -> list[Map]:
    """The five maps of `alex` or `vgg` for an image of `side` pixels."""
    maps = [Map(0, 3, max(side, SMALLEST))]
    for layers in LAYERS[net]:
        maps.append(convolutions(layers, maps[-1].channels, maps[-1].side))
    return maps[1:]


def lpips(net: str, side: int, gradients: int = 0) -> int:
    """FLOPs of the distance of two images, and of its gradient with respect to one of them."""
    maps = trunk(net, side)
    heads = sum(2 * one.channels * one.side**2 for one in maps)
    return (2 + gradients) * sum(one.flops for one in maps) + (1 + gradients) * heads


def adversary(name: str, side: int) -> int:
    """FLOPs of a discriminator for a step: it judges a made image, then learns from it and a real
    one."""
    frozen, trained = discriminator(name, side)
    return (JUDGING + LEARNING) * frozen + (JUDGING + TRAINED) * trained


def frechet(names: Sequence[str], again: int = 0) -> int:
    """FLOPs of Fréchet distances on these networks for an image of a step: features of the made and
    the real one, and the gradient with respect to the made one, which may be taken `again`."""
    return (3 + again) * sum(FEATURES[name] for name in names)


def discriminator(name: str, side: int) -> tuple[int, int]:
    """FLOPs of one forward pass: of what is frozen, and of what is trained."""
    if name == "patch":
        return 0, convolutions(PATCH, 3, side).flops
    if name == "dino":
        count, channels, positions = DINO_MAPS
        return DINO, count * _head(channels, positions)
    maps = trunk(name, side)
    heads = sum(_head(one.channels, one.side**2) for one in maps)
    return sum(one.flops for one in maps), heads


def _head(channels: int, positions: int) -> int:
    """Convolutions of kernel 1, of kernel 9, and to one logit."""
    return 2 * positions * channels * (channels + KERNEL * channels + 1)
