"""DISTS against the class of its package, on the same trunk."""

from types import SimpleNamespace

import pytest
import torch
from skimage import data
from torch.nn.functional import interpolate

from msdd.data.pixels import from_uint8
from msdd.metrics import dists
from msdd.metrics.dists import Dists
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_torchvision

CPU = torch.device("cpu")


def photographs() -> tuple[torch.Tensor, torch.Tensor]:
    """Two crops, and what is left of them at a quarter of the size."""
    crops = [data.astronaut()[:96, 180:276], data.chelsea()[80:176, 120:216]]
    a = torch.stack([torch.from_numpy(crop.copy()).permute(2, 0, 1) for crop in crops])
    small = interpolate(a.float(), scale_factor=0.25, mode="area")
    b = interpolate(small, scale_factor=4, mode="bicubic").round().clamp(0, 255)
    return a, b.to(torch.uint8)


@pytest.fixture(scope="module")
def theirs():
    """DISTS 0.1 with the trunk that its constructor would download."""
    models = import_torchvision().models
    from DISTS_pytorch import DISTS_pt

    def vgg16(pretrained: bool):
        network = models.vgg16(weights=None)
        network.features.load_state_dict(trunk)
        return network

    trunk = {k.removeprefix("features."): x for k, x in pretrained.tensors("vgg16").items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DISTS_pt, "models", SimpleNamespace(vgg16=vgg16))
        network = DISTS_pt.DISTS(load_weights=False)
    for name, values in pretrained.tensors("dists").items():
        getattr(network, name).data = values
    return network


def test_dists_is_that_of_its_package(theirs):
    a, b = photographs()
    expected = theirs(a / 255, b / 255).tolist()
    assert min(expected) > 0.1
    ours = Dists(CPU)
    assert ours.distance(a, b).tolist() == pytest.approx(expected, abs=1e-6)
    assert ours.distance(a, from_uint8(b)).tolist() == pytest.approx(expected, abs=1e-6)
    assert ours.distance(a, a).abs().max() < 1e-12


def test_parts_of_a_batch_are_measured_alike(monkeypatch):
    a, b = photographs()
    together = Dists(CPU).distance(a, b)
    monkeypatch.setattr(dists, "CPU_PIXELS", 1)
    torch.testing.assert_close(Dists(CPU).distance(a, b), together, rtol=0, atol=1e-6)
