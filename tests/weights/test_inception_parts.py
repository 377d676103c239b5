"""What evaluators of samples take from Inception, against torch-fidelity's network on one file."""

import pytest
import torch

from msdd.data.pixels import from_uint8
from msdd.weights.inception_parts import CHANNELS, InceptionParts
from msdd.weights.optional_imports import import_torchvision

import_torchvision()
from torch_fidelity import feature_extractor_inceptionv3 as fidelity  # noqa: E402

WIDTH = 7 * 17 * 17


@pytest.fixture(scope="module")
def found(inception_file) -> dict[str, torch.Tensor]:
    """Features of both programs for two images of noise, 48 x 64 px."""
    images = torch.randint(0, 256, (2, 3, 48, 64), dtype=torch.uint8)
    names = ["2048", "logits_unbiased"]
    theirs = fidelity.FeatureExtractorInceptionV3("", names, str(inception_file))
    maps = []
    theirs.Mixed_6d.branch1x1.register_forward_hook(lambda *given: maps.append(given[2]))
    pool, logits = theirs(images)
    state = torch.load(inception_file, weights_only=True)
    ours = InceptionParts(state, "tf1").eval()(from_uint8(images))
    return {"pool": (ours.pool, pool), "logits": (ours.logits, logits), "maps": (ours, maps[0])}


@pytest.mark.parametrize("name", ["pool", "logits"])
def test_they_are_those_of_torch_fidelity(found, name):
    ours, theirs = found[name]
    assert ours.shape == (2, {"pool": 2048, "logits": 1008}[name])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.abs().max().item())


def test_spatial_features_are_the_first_channels_in_the_order_of_tensorflow(found):
    """guided-diffusion flattens (H, W, C); `mixed_6/conv` of its graph is Mixed_6d.branch1x1 by
    torch-fidelity's own table of names (utils/util_convert_inception_weights.py)."""
    ours, theirs = found["maps"]
    assert ours.spatial.shape == (2, WIDTH) and CHANNELS == 7
    for row, column, channel in ((0, 0, 0), (0, 1, 3), (16, 16, 6), (5, 9, 2)):
        place = (row * 17 + column) * CHANNELS + channel
        expected = theirs[:, channel, row, column]
        assert expected.std() > 0 or (expected == 0).all()
        torch.testing.assert_close(ours.spatial[:, place], expected, rtol=1e-4, atol=1e-4)
