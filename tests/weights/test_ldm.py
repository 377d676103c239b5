"""The layout of latent diffusion's own files gives the pictures of diffusers' files."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import msdd
from msdd.tokenizers.systems import SYSTEMS
from msdd.weights import ldm
from msdd.weights.optional_imports import import_torchvision

import_torchvision()
from diffusers import AutoencoderKL  # noqa: E402

WIDTHS = (32, 32, 64)
CONFIG = {
    "block_out_channels": WIDTHS,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 2,
    "latent_channels": 4,
}


@pytest.fixture(scope="module")
def diffusers() -> dict:
    torch.manual_seed(0)
    return AutoencoderKL(**CONFIG).state_dict()


def pairs() -> dict[str, str]:
    """Modules of latent diffusion's `autoencoder.py` and `model.py`, and of diffusers'."""
    found = {name: name for name in ("quant_conv", "post_quant_conv")}
    for half, sampler, blocks in (("encoder", "down", 2), ("decoder", "up", 3)):
        found |= {f"{half}.{name}": f"{half}.{name}" for name in ("conv_in", "conv_out")}
        found[f"{half}.norm_out"] = f"{half}.conv_norm_out"
        for part in ("norm1", "conv1", "norm2", "conv2", "nin_shortcut"):
            theirs = part.replace("nin", "conv")
            for k in (1, 2):
                found[f"{half}.mid.block_{k}.{part}"] = f"{half}.mid_block.resnets.{k - 1}.{theirs}"
            for i in range(3):
                level = i if sampler == "down" else 2 - i
                for k in range(blocks):
                    found[f"{half}.{sampler}.{i}.block.{k}.{part}"] = (
                        f"{half}.{sampler}_blocks.{level}.resnets.{k}.{theirs}"
                    )
        for i in range(3):
            level = i if sampler == "down" else 2 - i
            found[f"{half}.{sampler}.{i}.{sampler}sample.conv"] = (
                f"{half}.{sampler}_blocks.{level}.{sampler}samplers.0.conv"
            )
        attention = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v"}
        for ours, theirs in (attention | {"proj_out": "to_out.0"}).items():
            found[f"{half}.mid.attn_1.{ours}"] = f"{half}.mid_block.attentions.0.{theirs}"
    return found


@pytest.fixture(scope="module")
def original(diffusers) -> dict:
    """The same weights as latent diffusion's code stores them: projections are convolutions."""
    state = {}
    for theirs, name in pairs().items():
        for kind in ("weight", "bias"):
            if (value := diffusers.get(f"{name}.{kind}")) is not None:
                matrix = ".attn_1." in theirs and value.ndim == 2
                state[f"{theirs}.{kind}"] = value[..., None, None] if matrix else value
    assert len(state) == len(diffusers)
    return state


def test_names_are_those_of_diffusers(original, diffusers):
    found = ldm.to_diffusers(original)
    assert found.keys() == diffusers.keys()
    assert all(torch.equal(found[name], diffusers[name]) for name in found)


def test_so_does_diffusers_itself_convert_it(original):
    from diffusers.loaders import single_file_utils

    expected = single_file_utils.convert_ldm_vae_checkpoint(dict(original), CONFIG)
    found = ldm.to_diffusers(original)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("form", ["diffusers", "original", "whole model", "lightning"])
def test_every_file_of_it_gives_the_same_pictures(form, diffusers, original, tmp_path, monkeypatch):
    system = replace(SYSTEMS["sd-vae-ft-mse"], config=lambda module: CONFIG)
    monkeypatch.setitem(SYSTEMS, "sd-vae-ft-mse", system)
    torch.manual_seed(1)
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    expected = AutoencoderKL(**CONFIG)
    expected.load_state_dict(diffusers)
    with torch.inference_mode():
        expected = expected.eval()(images).sample.clamp(-1, 1)
    path = tmp_path / "vae.ckpt"
    if form == "diffusers":
        save_file(diffusers, path)
    elif form == "original":
        torch.save({"state_dict": original | {"loss.logvar": torch.zeros(())}}, path)
    elif form == "whole model":
        part = {f"first_stage_model.{name}": value for name, value in original.items()}
        save_file(part | {"model.diffusion_model.out.0.bias": torch.ones(3)}, path)
    else:
        torch.save({"state_dict": {f"vae.{name}": x for name, x in original.items()}}, path)
    found = msdd.load("sd-vae-ft-mse", checkpoint=path)
    assert torch.equal(found.reconstruct(images), expected)
