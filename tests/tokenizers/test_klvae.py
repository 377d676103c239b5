"""KL-VAEs reproduce the official numbers, by either generation of names."""

import json

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases

import msdd
from msdd.errors import MsddError
from msdd.tokenizers import klvae
from msdd.tokenizers.klvae import KLVAE, PUBLISHED, config_of, load
from msdd.tokenizers.tokenizer import Description

CASES = pytest.mark.parametrize("path", cases("klvae"), ids=lambda path: path.name)


@CASES
@torch.inference_mode()
def test_the_official_numbers(path):
    case, state, io = load_case(path)
    tokenizer = load(case["config"], state)
    vae = tokenizer.vae
    posterior = vae.encode(io["image"]).latent_dist
    sampled = posterior.mean + posterior.std * io["noise"]
    found = {
        "encoder_out": vae.encoder(io["image"]),
        "moments": posterior.parameters,
        "mean": tokenizer.encode(io["image"]),
        "std": posterior.std,
        "kl_per_image": posterior.kl(),
        "sample_with_given_noise": sampled,
        "reconstruction_from_mean": vae.decode(posterior.mean).sample,
        "reconstruction_from_sample": vae.decode(sampled).sample,
        "decode_random_latent": vae.decode(io["random_latent"]).sample,
    }
    assert_reproduced(found, io, inputs={"image", "noise", "random_latent"})
    decoded = tokenizer.decode(io["random_latent"])
    assert torch.equal(decoded, found["decode_random_latent"].clamp(-1, 1))


@CASES
def test_a_folder_of_diffusers_and_former_names(path):
    case, state, io = load_case(path)
    assert config_of(path / "diffusers") == case["config"]
    renamed = {former(name): value for name, value in state.items()}
    assert renamed.keys() != state.keys()
    tokenizer = load(config_of(path / "diffusers"), renamed)
    torch.testing.assert_close(tokenizer.encode(io["image"]), io["mean"], atol=1e-4, rtol=0)


def former(name: str) -> str:
    pairs = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for present, before in pairs.items():
        name = name.replace(f".{present}.", f".{before}.")
    return name


def test_a_folder_with_the_vae_of_flux_2(tmp_path):
    """Its latents are those before `bn`, which only its pipeline applies."""
    klvae.autoencoder(PUBLISHED)  # imports torchvision and diffusers
    from diffusers import AutoencoderKLFlux2

    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2}
    blocks["up_block_types"] = ("UpDecoderBlock2D",) * 2
    torch.manual_seed(0)
    vae = AutoencoderKLFlux2(block_out_channels=(32, 32), layers_per_block=1, **blocks).eval()
    vae.save_pretrained(tmp_path)
    tokenizer, images = msdd.load(tmp_path), torch.rand(1, 3, 16, 8) * 2 - 1
    latents = tokenizer.encode(images)
    assert latents.shape == (1, 32, 8, 4)
    with torch.inference_mode():
        assert torch.equal(latents, vae.encode(images).latent_dist.mode())
        assert torch.equal(tokenizer.decode(latents), vae.decode(latents).sample.clamp(-1, 1))


def test_the_published_size():
    with torch.device("meta"):
        tokenizer = KLVAE()
    assert tokenizer.describe() == Description(1024, 4, None, 83_653_863, 1)


@CASES
def test_what_does_not_fit_is_refused(path, tmp_path):
    case, state, _ = load_case(path)
    with pytest.raises(MsddError, match="the weights do not fit AutoencoderKL: "):
        load(PUBLISHED | {"block_out_channels": (32, 32, 32, 32)}, state)
    tokenizer = load(case["config"], state)
    with pytest.raises(MsddError, match="takes sides that are multiples of .* px, not 33x32"):
        tokenizer.encode(torch.zeros(1, 3, 32, 33))
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "VQModel"}))
    with pytest.raises(MsddError, match="config.json: not the configuration of an AutoencoderKL"):
        config_of(tmp_path)
