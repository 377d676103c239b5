"""Inception's features against the networks of pytorch_fid and torch-fidelity, on one file."""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.weights.features import Inception, resize_tf1, resize_unrounded, standardise
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network

import_torchvision()
from torch_fidelity import feature_extractor_inceptionv3 as fidelity  # noqa: E402
from torch_fidelity import interpolate_compat_tensorflow as tensorflow  # noqa: E402


def levels(side: int, count: int = 2) -> torch.Tensor:
    """uint8 images of smooth colours and noise: (count, 3, side, side)."""
    generator = torch.Generator().manual_seed(side)
    colours = torch.rand(count, 3, 3, 3, generator=generator) * 255
    smooth = F.interpolate(colours, (side, side), mode="bicubic")
    noise = torch.randn(count, 3, side, side, generator=generator) * 20
    return (smooth + noise).clamp(0, 255).to(torch.uint8)


def extractor(path) -> torch.nn.Module:
    names = {"name": "inception-v3-compat", "features_list": ["2048"]}
    return fidelity.FeatureExtractorInceptionV3(**names, feature_extractor_weights_path=str(path))


class NoNewTensors(TorchFunctionMode):
    """Refuses tensors of Python's numbers, which are made on the CPU and copied."""

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        assert function not in (torch.tensor, torch.Tensor.new_tensor)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("prepare", [standardise, resize_unrounded])
def test_what_losses_prepare_images_by_copies_nothing_to_a_gpu(prepare):
    """Every step of a training would wait for the one before."""
    with NoNewTensors():
        made = prepare(torch.zeros(2, 3, 32, 32, device="meta"))
    assert made.is_meta and made.dtype == torch.float32


@pytest.mark.parametrize("side", [32, 64, 256, 299, 512])
def test_tf1_resize_is_that_of_torch_fidelity(side):
    images = levels(side)
    expected = tensorflow.interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    assert torch.equal(resize_tf1(from_uint8(images)), (expected - 128) / 128)


def test_tf1_resize_takes_oblongs_and_rounds():
    images = levels(64)[..., :40, :]
    expected = tensorflow.interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    near = from_uint8(images) + 0.4 / 127.5
    assert torch.equal(resize_tf1(near), (expected - 128) / 128)


def test_the_unrounded_resize_is_the_same_of_floats_in_0_to_1():
    """That of FD-loss, whose images are no levels."""
    images = from_uint8(levels(64)) + 0.4 / 127.5
    expected = tensorflow.interpolate_bilinear_2d_like_tensorflow1x(
        (images + 1) / 2, size=(299, 299), align_corners=False
    )
    assert torch.equal(resize_unrounded(images), 2 * expected - 1)


def test_inception_is_that_of_pytorch_fid(inception, monkeypatch):
    from pytorch_fid import inception as original

    state = torch.load(inception, weights_only=True)
    monkeypatch.setattr(original, "load_state_dict_from_url", lambda *_, **__: state)
    images = from_uint8(levels(64))
    expected = original.InceptionV3().eval()((images + 1) / 2)[0].flatten(1)
    network = feature_network("inception")
    assert isinstance(network, Inception)
    assert expected.std(0).mean() > 0.03 * expected.mean()  # the images differ
    torch.testing.assert_close(network(images), expected)


def test_inception_is_that_of_torch_fidelity(inception):
    images = levels(64)
    expected = extractor(inception)(images)[0]
    network = feature_network("inception", resize="tf1")
    torch.testing.assert_close(network(from_uint8(images)), expected)
    other = feature_network("inception")(from_uint8(images))
    assert (other - expected).norm() > 1e-3 * expected.norm()


def test_antialias_is_another_resize_of_the_same_network(inception, monkeypatch):
    """As torchmetrics does from 1.8.0 on: torch-fidelity's network behind torch's own resize."""

    def resize(images, size, align_corners):
        return F.interpolate(
            images, size, mode="bilinear", align_corners=align_corners, antialias=True
        )

    monkeypatch.setattr(fidelity, "interpolate_bilinear_2d_like_tensorflow1x", resize)
    images = levels(320)
    network = feature_network("inception", resize="antialias")
    torch.testing.assert_close(network(from_uint8(images)), extractor(inception)(images)[0])


def test_unpublished_weights_are_refused(inception_file, monkeypatch):
    monkeypatch.setenv("MSDD_WEIGHTS", str(inception_file.parent))
    with pytest.raises(MsddError, match="instead of 6726825d"):
        feature_network("inception", resize="tf1")


@pytest.mark.parametrize("name, resize", [("inception", "lanczos"), ("efficientnet-lite0", "tf1")])
def test_unknown_resizes_are_named(name, resize):
    with pytest.raises(MsddError, match=f"{name}: no resize '{resize}'; inception has pytorch_fid"):
        feature_network(name, resize=resize)
