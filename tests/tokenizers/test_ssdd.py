"""SSDD: the official numbers, the published files to the byte, and what it depends on."""

import json
import re
from dataclasses import replace

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases
from torch import Tensor

from msdd.errors import MsddError
from msdd.model.kl_encoder import KLEncoderConfig, divergence, draw, posterior
from msdd.model.uvit import UViTConfig
from msdd.tokenizers.ssdd import (
    SSDD,
    Sampling,
    SSDDConfig,
    join,
    load,
    published_config,
    sample,
)
from msdd.tokenizers.tokenizer import Description

SMALL = SSDDConfig(
    encoder=KLEncoderConfig(latent_dim=2, multipliers=(1, 1, 1), width=32, blocks=1),
    decoder=UViTConfig(latent_dim=2, channels=32, multipliers=(1, 1), depth=2, layers=1, window=3),
    resolution=16,
)
SAMPLED = re.compile(r"(decode|forward|schedule)_(\d+)(_linear)?")
INPUTS = {"image", "noise", "x_t", "t"}


def config_of(values: dict) -> SSDDConfig:
    e, d = values["encoder"], values["decoder"]
    encoder = KLEncoderConfig(e["z_dim"], tuple(e["ch_mult"]), e["base_dim"], e["num_res_blocks"])
    decoder = UViTConfig(
        latent_dim=d["z_dim"],
        channels=d["channels"],
        multipliers=tuple(d["ch_mult"]),
        depth=d["mid_nlayers"],
        heads=d["num_attention_heads"],
        layers=d["layers_per_block"],
        window=d["attn_window"],
    )
    return SSDDConfig(encoder, decoder, values["image_size"][0])


def lively(config: SSDDConfig = SMALL, sampling: Sampling | None = None) -> SSDD:
    """With random weights everywhere: at first, residual blocks are their skip paths."""
    torch.manual_seed(0)
    tokenizer = SSDD(config, sampling).eval().requires_grad_(False)
    for p in tokenizer.parameters():
        p.add_(torch.randn_like(p) / p[0].numel() ** 0.5 if p.dim() > 1 else 0)
    return tokenizer


def sampled(name: str, tokenizer: SSDD, io: dict[str, Tensor], power: float) -> Tensor:
    """A recorded output of the sampler, which tells its steps by its name."""
    kind, steps, linear = SAMPLED.fullmatch(name).groups()
    sampling = Sampling(int(steps), 1.0 if linear else power)
    if kind == "schedule":
        return torch.tensor(sampling.times)
    return sample(tokenizer.decoder, io["noise"], io["z_mode"], sampling)


@torch.inference_mode()
@pytest.mark.parametrize("path", cases("ssdd"), ids=lambda path: path.name)
def test_the_official_numbers(path):
    values, state, io = load_case(path)
    values = values["config"]
    tokenizer = load(config_of(values), state)
    moments = tokenizer.encoder(io["image"])
    of = posterior(moments)
    velocity = tokenizer.decoder(io["x_t"], io["t"], io["z_mode"])
    single = {
        "encoder_moments": moments,
        "z_mode": tokenizer.encode(io["image"]),
        "z_std": draw(of, torch.ones_like(of.mean)) - of.mean,
        "kl_per_image": divergence(of),
        "velocity": velocity,
        "x0_pred": io["x_t"] + io["t"][:, None, None, None] * velocity,
    }
    names = {name for name in io if SAMPLED.fullmatch(name)}
    assert_reproduced(single, io, inputs=INPUTS | names)
    power = values["fm_sampler"]["t_pow_shift"]
    chains = {name: sampled(name, tokenizer, io, power) for name in names}
    assert_reproduced(chains, io, inputs=INPUTS | single.keys(), atol=3e-4)


@pytest.mark.parametrize(
    ("encoder", "size", "bytes_"), [("f16c16", "B", 268_991_676), ("f16c16", "L", 547_508_988)]
)
def test_a_published_file_has_our_size_to_the_byte(encoder, size, bytes_):
    """In float32: 4 bytes a weight and a header of all names, shapes and offsets."""
    with torch.device("meta"):
        state = SSDD(published_config(encoder, size)).state_dict()
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, value in sorted(state.items()):
        span = [offset, offset := offset + 4 * value.numel()]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": span}
    length = len(json.dumps(header, separators=(",", ":")))
    assert 8 + -(-length // 8) * 8 + offset == bytes_


@pytest.mark.parametrize(("size", "millions"), [("S", 13.4), ("H", 345.9)])
def test_the_published_size_of_a_decoder(size, millions):
    """The paper's millions are 2^20, and its latents have four channels."""
    with torch.device("meta"):
        decoder = SSDD(published_config("f8c4", size)).decoder
    assert round(sum(p.numel() for p in decoder.parameters()) / 2**20, 1) == millions


@pytest.mark.parametrize(
    ("encoder", "tokens", "dim"),
    [
        ("f8c4", 1024, 4),
        ("f16c4", 256, 4),
        ("f16c16", 256, 16),
        ("f32c64", 64, 64),
        ("sdvae", 1024, 4),
    ],
)
def test_description(encoder, tokens, dim):
    with torch.device("meta"):
        tokenizer = SSDD(published_config(encoder, "S"), Sampling(steps=1))
    assert tokenizer.describe() == Description(tokens, dim, None, tokenizer.size(), 1)


@torch.inference_mode()
@pytest.mark.parametrize("path", cases("klvae"), ids=lambda path: path.name)
def test_the_encoder_of_an_sd_vae(path):
    """From a file of its own, beside a decoder from another."""
    values, vae, io = load_case(path)
    config = SSDDConfig(values["config"], replace(SMALL.decoder, latent_dim=io["mean"].shape[1]))
    trained = lively(config)
    tokenizer = load(config, join(trained.state_dict(), vae))
    moments = tokenizer.encoder(io["image"])
    found = {
        "moments": moments,
        "mean": tokenizer.encode(io["image"]),
        "std": draw(posterior(moments), torch.ones_like(io["mean"])) - io["mean"],
        "kl_per_image": divergence(posterior(moments)),
    }
    assert_reproduced(found, io, inputs=io.keys() - found.keys())
    assert torch.equal(tokenizer.decode(io["mean"]), trained.decode(io["mean"]))


def test_an_ssdd_with_an_encoder_of_its_own_takes_no_other():
    with pytest.raises(MsddError, match="with an encoder of its own"):
        join(lively(SMALL).state_dict(), {})


def test_the_divergence_is_that_of_gaussians():
    of = posterior(2 * torch.randn(3, 8, 5, 4))
    normal = torch.distributions.Normal(of.mean, torch.exp(of.logvar / 2))
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1))
    torch.testing.assert_close(divergence(of), expected.sum((1, 2, 3)))


def test_a_draw_has_the_posterior_as_its_law():
    of = posterior(torch.randn(1, 2, 1, 1).expand(100_000, -1, -1, -1))
    latents = draw(of, torch.randn_like(of.mean))
    torch.testing.assert_close(latents.mean(0), of.mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(latents.var(0).log(), of.logvar[0], atol=0.02, rtol=0)


def test_a_flow_along_a_straight_line_ends_at_its_image(monkeypatch):
    """Whatever the steps, if the network always knows the velocity."""
    tokenizer, image, noise = lively(), torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 16)
    monkeypatch.setattr(tokenizer.decoder, "denoise", lambda x, time, condition: image - noise)
    for sampling in (Sampling(1), Sampling(5, 1.0), Sampling(7, 4.0)):
        found = sample(tokenizer.decoder, noise, torch.randn(2, 2, 4, 4), sampling)
        torch.testing.assert_close(found, image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("height, width", [(16, 16), (12, 20)])
def test_a_reconstruction_does_not_depend_on_its_neighbours(height, width):
    tokenizer, images = lively(sampling=Sampling(3)), torch.rand(4, 3, height, width) * 2 - 1
    together = tokenizer.reconstruct(images, ids=[5, 3, 8, 0], seed=1)
    alone = tokenizer.reconstruct(images[2:3], ids=[8], seed=1)
    assert together.shape == images.shape
    torch.testing.assert_close(together[2:3], alone, atol=1e-5, rtol=0)
    assert not torch.allclose(alone, tokenizer.reconstruct(images[2:3], ids=[8], seed=2), atol=1e-3)


def test_every_weight_takes_part():
    tokenizer = lively().requires_grad_(True)
    of = posterior(tokenizer.encoder(torch.randn(2, 3, 16, 16)))
    latents = draw(of, torch.randn_like(of.mean))
    velocity = tokenizer.decoder(torch.randn(2, 3, 16, 16), torch.rand(2), latents)
    velocity.square().mean().backward()
    idle = [name for name, p in tokenizer.named_parameters() if not p.grad.any()]
    assert not idle


def test_images_that_do_not_fit_are_refused():
    tokenizer = lively()
    with pytest.raises(MsddError, match="sides that are multiples of 4 px, not 18x16"):
        tokenizer.encode(torch.zeros(1, 3, 16, 18))
    with pytest.raises(MsddError, match="at least 6 px, not 16x4"):
        tokenizer.encode(torch.zeros(1, 3, 4, 16))
    with pytest.raises(MsddError, match="at least 6 px, not 4x4"):
        tokenizer.decode(torch.zeros(1, 2, 1, 1))


def test_weights_of_another_size_are_refused():
    wider = replace(SMALL, decoder=replace(SMALL.decoder, channels=64))
    with pytest.raises(
        MsddError, match=r"decoder\.conv_in\.weight.*\[64, 5, 3, 3\] instead of \[32"
    ):
        load(SMALL, SSDD(wider).state_dict())
