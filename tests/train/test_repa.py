"""REPA on a random ViT in the place of DINOv2's: what learns, from what, and what stays."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_kl_rows import ROWS, autoencoder, with_stage1

from msdd.commands.stages import run_stage
from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.files import digest
from msdd.params.load import parse
from msdd.params.sections import Repa as Settings
from msdd.pipeline import layout
from msdd.train import stage1
from msdd.train.repa import NAME, Repa, dinov2, patch_features
from msdd.weights.features import standardise
from msdd.weights.optional_imports import import_timm

TIMM = import_timm("this test")
VIT = "vit_tiny_patch16_224"
HERE = Path()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("dino") / "vit.safetensors"
    save_file(TIMM.create_model(VIT, num_classes=0).state_dict(), path)
    return Settings(weight=0.25, block=1, model=VIT, file=str(path), sha256=digest(path))


@pytest.fixture(scope="module")
def params(tiny_params):
    raw = tiny_params.raw()
    rows = {"models": ROWS["models"], "students": {}, "decodes": {}, "ablations": {}}
    rows["decodes"]["ssdd-teacher"] = ROWS["decodes"]["ssdd-teacher"]
    return parse(raw | rows)


@pytest.fixture(scope="module")
def images(prepared):
    return from_uint8(Crops(prepared / layout.prepared(), "train").batch(range(4)))


def with_repa(params, settings):
    network = autoencoder(params, "ssdd")
    network.add_module(NAME, Repa(network.decoder.uvit, 1, dinov2(settings, HERE)))
    return network


def test_features_are_timms_of_the_image_enlarged_to_a_patch_a_position(settings, images):
    network = dinov2(settings, HERE)
    found = patch_features(network, images, (14, 14))
    large = torch.nn.functional.interpolate(images, (224, 224), mode="bicubic", antialias=True)
    expected = network.forward_features(standardise(large))[:, 1:]
    torch.testing.assert_close(found, expected)
    assert patch_features(network, images, (8, 6)).shape == (4, 48, 192)


def test_the_networks_learn_up_to_the_block_and_dinov2_does_not(params, settings, images):
    network = with_repa(params, settings)
    row = with_stage1(params, repa=settings).stage1_of("ssdd")
    terms = stage1.losses(network, images, row)
    assert 0 < terms["repa"] < 2
    terms["repa"].backward()
    learnt = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert {f"{NAME}.mlp.0.weight", "decoder.uvit.conv_in.weight"} <= learnt
    assert not any(name.startswith("decoder.uvit.up_blocks") for name in learnt)
    assert not any("patch_embed" in name for name in network.state_dict())


def test_what_agrees_in_direction_has_distance_0(params, settings, images):
    network = with_repa(params, settings)
    seen = patch_features(dinov2(settings, HERE), images, (8, 8))
    network.repa.tokens, network.repa.mlp = 3 * seen, torch.nn.Identity()
    torch.testing.assert_close(network.repa(images, (8, 8)), torch.zeros(4), atol=1e-6, rtol=0)
    network.repa.tokens = -seen
    torch.testing.assert_close(network.repa(images, (8, 8)), torch.full((4,), 2.0))


def test_a_row_is_trained_with_it_and_keeps_nothing_of_it(params, settings, prepared):
    changed = with_stage1(params, repa=settings)
    last = run_stage(changed, "train", prepared, model="ssdd")
    assert last["repa"] > 0
    state = load_file(prepared / layout.stage1("ssdd") / "model.safetensors")
    assert state.keys() == autoencoder(params, "ssdd").state_dict().keys()


def test_bad_settings_are_named(params, settings):
    for changes, told in (
        ({"sha256": "0" * 64}, "stage1.repa.sha256 is 000"),
        ({"file": "none.bin"}, "there is no file none.bin"),
        ({"model": "vit_x"}, "timm has no 'vit_x'"),
        ({"model": "vit_small_patch16_224"}, "stage1.repa.file .* do not fit"),
    ):
        with pytest.raises(MsddError, match=told):
            dinov2(settings.model_copy(update=changes), HERE)
    raw = params.raw()
    raw["stage1"]["repa"] = settings.model_dump() | {"block": 2}
    with pytest.raises(MsddError) as caught:
        parse(raw)
    told = str(caught.value)
    assert "models.ssdd: repa.block is 2, and uvit.depth 1" in told
    assert "models.kl-msdd: repa reads the middle of a uvit" in told
