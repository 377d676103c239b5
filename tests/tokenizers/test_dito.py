"""DiTo reproduces the official numbers, has the published size and costs what it says."""

import re
from dataclasses import replace

import pytest
import torch
from cases import assert_reproduced, load_case
from recorded import cases
from sampled import assert_independent_of_the_batch, conditions_seen, random_images
from torch import nn

from msdd.errors import MsddError
from msdd.tokenizers.dito import SIZES, DiTo, DiToConfig, load, official_name
from msdd.tokenizers.dito_renderer import Renderer
from msdd.tokenizers.tokenizer import Description
from msdd.weights.optional_imports import import_torchvision

INPUTS = {"image", "noise", "x_t", "t"}
SAMPLE = re.compile(r"sample_(\d+)(_guided)?")
GUIDANCE = 2.0  # of the recorded guided samples

SMALL = DiToConfig((32, 32, 64), 32, 24, resolution=16, width=32, encoder=(1, 1, 1), blocks=1)


def config_of(values: dict) -> DiToConfig:
    encoder, net = values["encoder"]["overrides"], values["renderer"]["net"]
    return DiToConfig(
        renderer=(net["c0"], net["c1"], net["c2"]),
        time_features=net["pe_dim"],
        time_width=net["t_dim"],
        resolution=values["image_size"][0],
        width=encoder["ch"],
        encoder=tuple(encoder["ch_mult"]),
        blocks=encoder["num_res_blocks"],
        dim=encoder["z_channels"],
    )


@torch.inference_mode()
@pytest.mark.parametrize("path", cases("dito"), ids=lambda path: path.name)
def test_the_official_numbers(path):
    values, state, io = load_case(path)
    tokenizer = load(config_of(values["config"]), state)
    latent = tokenizer.encode(io["image"])
    context = tokenizer.context(latent)
    once = {
        "encoder_out": tokenizer.features(io["image"]),
        "latent": latent,
        "prediction": tokenizer.prediction(io["x_t"], io["t"], context),
        "alpha_of_t": 1 - io["t"],
        "sigma_of_t": 1e-5 + io["t"] * (1 - 1e-5),
    }
    many = {}
    for name in filter(SAMPLE.fullmatch, io):
        steps, guided = SAMPLE.fullmatch(name).groups()
        tokenizer.steps, tokenizer.guidance = int(steps), GUIDANCE if guided else 1.0
        many[name] = tokenizer.sample(io["noise"], context)
    assert_reproduced(once, io, INPUTS | many.keys())
    assert_reproduced(many, io, io.keys() - many.keys(), atol=3e-4)


def diffusers_unet(channels: int, widths: tuple[int, ...]) -> nn.Module:
    """The consistency decoder's U-Net as diffusers builds it, its time in [0, 1000]."""
    import_torchvision()  # diffusers imports it
    from diffusers import UNet2DModel

    return UNet2DModel(
        in_channels=channels,
        out_channels=3,
        block_out_channels=widths,
        layers_per_block=3,
        down_block_types=["ResnetDownsampleBlock2D"] * len(widths),
        up_block_types=["ResnetUpsampleBlock2D"] * len(widths),
        resnet_time_scale_shift="scale_shift",
        add_attention=False,
        norm_eps=1e-5,
        freq_shift=1,
    )


def parts(unet: nn.Module) -> list[nn.Module]:
    """Its convolutions, norms and linear layers, in the order in which ours are registered."""
    order = [unet.conv_in, unet.time_embedding, *unet.down_blocks, unet.mid_block]
    order += [*reversed(unet.up_blocks), unet.conv_norm_out, unet.conv_out]
    return [leaf for part in order for leaf in leaves(part)]


def leaves(module: nn.Module) -> list[nn.Module]:
    return [m for m in module.modules() if not list(m.children()) and list(m.parameters())]


@torch.inference_mode()
def test_the_renderer_is_the_consistency_decoders_u_net():
    """As diffusers implements it; its resnets, too, are registered from input to output."""
    torch.manual_seed(0)
    widths = (32, 64, 96, 96)
    unet, renderer = diffusers_unet(7, widths).eval(), Renderer(7, widths, 32, 4 * 32)
    for ours, theirs in zip(leaves(renderer), parts(unet), strict=True):
        ours.load_state_dict(theirs.state_dict())
    x, t = torch.randn(2, 7, 16, 16), torch.tensor([0.9, 0.3])
    expected = unet(x, 1000 * t).sample
    torch.testing.assert_close(renderer(x[:, :3], t, x[:, 3:]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "size, renderer",
    [("B", 162_779_779), ("L", 338_523_843), ("XL", 620_941_379)],
)
def test_the_published_sizes(size, renderer):
    """The sizes differ in the renderer alone; all have one encoder of 34.1M."""
    with torch.device("meta"):
        tokenizer = DiTo(SIZES[size])
    assert sum(p.numel() for p in tokenizer.renderer.parameters()) == renderer
    assert tokenizer.describe() == Description(1024, 4, None, renderer + 34_145_176, 50)


def small(**settings) -> DiTo:
    torch.manual_seed(0)
    return DiTo(SMALL, **{"steps": 3} | settings).eval().requires_grad_(False)


@pytest.mark.parametrize("guidance, nfe", [(1.0, 3), (1.5, 6)])
def test_nfe_are_those_of_a_decode(guidance, nfe):
    tokenizer = small(guidance=guidance)
    seen = conditions_seen(tokenizer.renderer)
    tokenizer.reconstruct(random_images(2, SMALL.resolution))
    assert len(seen) == 2 * nfe == 2 * tokenizer.describe().nfe
    assert sum(not context.any() for context in seen) == 2 * (nfe - 3)


def test_latents_are_normalised_by_image():
    latents = small().encode(random_images(2, SMALL.resolution))
    assert latents.shape == (2, 4, 4, 4)
    torch.testing.assert_close(latents.mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    variance = latents.var((1, 2, 3), correction=0)
    torch.testing.assert_close(variance, torch.ones(2), atol=1e-2, rtol=0)


def test_a_reconstruction_does_not_depend_on_its_batch():
    assert_independent_of_the_batch(small())


@pytest.mark.parametrize(
    "change, told",
    [
        ({"dim": 8}, r"encoder.1.weight \(\[4, 4, 1, 1\] instead of \[8, 8, 1, 1\]\)"),
        ({"renderer": (32, 64, 64)}, "missing: renderer.net.down.1.0.f_s.weight"),
        ({"blocks": 2}, "missing: encoder.0.down.0.block.1.norm1.weight"),
    ],
)
def test_a_checkpoint_of_another_size_is_refused(change, told):
    state = {official_name(name): value for name, value in small().state_dict().items()}
    load(SMALL, state)
    with pytest.raises(MsddError, match=told):
        load(replace(SMALL, **change), state)


def test_other_sides_are_refused():
    with pytest.raises(MsddError, match="DiTo takes images of 16x16 px, not 32x32"):
        small().encode(random_images(1, 32))
