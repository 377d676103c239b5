"""The fast Inception against the one that it is made of."""

import torch
from test_features import levels

from msdd.data.pixels import from_uint8
from msdd.weights import pretrained, pretrained_networks
from msdd.weights.fast_convolutions import FastConvolution
from msdd.weights.fast_inception import faster_inception
from msdd.weights.inception_parts import InceptionParts

CPU = torch.device("cpu")


def test_features_maps_and_logits_are_those_of_the_network_as_published(inception):
    state = pretrained.tensors("inception")
    slow, fast = (pretrained_networks.freeze(InceptionParts(state, "tf1"), CPU) for _ in range(2))
    images = from_uint8(levels(64, 3))
    made = faster_inception(fast, CPU)(images)
    for found, expected in zip(made, slow(images), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-6)
    assert sum(isinstance(part, FastConvolution) for part in fast.modules()) == 94


def test_an_image_has_the_same_features_in_any_batch(inception):
    network = faster_inception(pretrained_networks.feature_network("inception"), CPU)
    images = from_uint8(levels(64, 3))
    alone = torch.cat([network(one) for one in images.split(1)])
    torch.testing.assert_close(network(images), alone, atol=1e-6, rtol=0)
