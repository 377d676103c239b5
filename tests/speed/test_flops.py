"""The closed forms against a count of what the real networks do."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.speed import card, flops
from msdd.speed.flop_counter import count_flops
from msdd.tokenizers.msdd import MSDD

PAPER = ModelConfig(256, 4, 8, 8, 768, 12, 12, 128, 32, "line")
CONFIGS = {
    "paper": PAPER,
    "patch 16": replace(PAPER, patch=16, encoder_patch=16),
    "odd widths": ModelConfig(48, 2, 4, 6, 40, 3, 5, 7, 3, "grid"),
    "one block, one scale": ModelConfig(16, 1, 4, 8, 32, 1, 4, 8, 4, "grid"),
}

FREE = ("aten::_unsafe_view", "aten::promote_types")  # not marked as views, but no kernel runs


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


def on_meta(network: type[nn.Module], config: ModelConfig) -> nn.Module:
    with torch.device("meta"):
        return network(config).requires_grad_(False)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


@torch.no_grad()
def counted(call, *inputs) -> FlopCounterMode:
    with FlopCounterMode(display=False) as counter:
        call(*inputs)
    return counter


def evaluation(decoder: Decoder, side: int, batch: int = 1) -> FlopCounterMode:
    config = decoder.config
    latents = empty(batch, config.latents, config.latent_dim)
    return counted(decoder, empty(batch, 3, side, side), empty(batch), latents)


def test_an_evaluation_at_every_scale(config):
    decoder = on_meta(Decoder, config)
    for side in config.sides:
        found = evaluation(decoder, side, batch=3).get_total_flops()
        assert found == 3 * flops.evaluation_flops(config, side)


def test_the_conditioning_is_what_its_layers_cost(config):
    by_module = evaluation(on_meta(Decoder, config), config.sides[0]).get_flop_counts()
    layers = ("adaln", "embed_time")
    found = sum(
        sum(count.values()) for name, count in by_module.items() if name.split(".")[-1] in layers
    )
    assert found == flops.conditioning_flops(config) > 0


def test_the_encoder(config):
    images = empty(2, 3, config.resolution, config.resolution)
    found = counted(on_meta(Encoder, config), images).get_total_flops()
    assert found == 2 * flops.encoder_flops(config)


@pytest.mark.parametrize("network", [on_meta, lambda kind, config: kind(config)])
@pytest.mark.parametrize(
    "steps, guidance", [([1, 1], [1.0, 1.0]), ([3, 2], 2.0), ([2, 1], [1.0, 1.5])]
)
def test_a_whole_decode(network, steps, guidance):
    """Of the tokenizer itself, with its sampler, guidance and scales, by shapes and computing."""
    config = CONFIGS["odd widths"]
    encoder, decoder = (network(kind, config).requires_grad_(False) for kind in (Encoder, Decoder))
    tokenizer = MSDD(encoder, [decoder] * config.scales, steps, guidance)
    latents = torch.zeros(2, config.latents, config.latent_dim, device=tokenizer.device)
    found = count_flops(lambda: tokenizer.decode(latents))
    assert found == 2 * card.teacher("", config, steps, guidance).flops


def test_weights(config):
    decoder, encoder = on_meta(Decoder, config), on_meta(Encoder, config)
    assert flops.encoder_weights(config) == size(encoder)
    assert flops.decoder_weights(config) == size(decoder)
    for name in [name for name, _ in decoder.named_modules()]:
        if name.split(".")[-1] in ("adaln", "embed_time"):
            decoder.set_submodule(name, nn.Identity())
    assert flops.decoder_weights(config, conditioned=False) == size(decoder)


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_share_of_attention_grows_with_the_image():
    """S / (S + 6d) of a block's matrix products, S tokens of both kinds."""
    for side in PAPER.sides:
        joint = flops.tokens(PAPER, side) + PAPER.latents
        expected = joint / (joint + 6 * PAPER.width)
        assert flops.attention_share(PAPER, side) == pytest.approx(expected, rel=0.12)


class Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not (function.is_view or function.name() in FREE)
        return function(*args, **(kwargs or {}))


def counted_launches(depth: int) -> int:
    """Operations but views, of a tiny decoder."""
    config = ModelConfig(8, 1, 4, 4, 16, depth, 2, 3, 2, "grid")
    decoder = Decoder(config).requires_grad_(False)
    inputs = torch.zeros(2, 3, 8, 8), torch.zeros(2), torch.zeros(2, 3, 2)
    with torch.no_grad():
        decoder(*inputs)  # makes the table of positions, which later evaluations share
        with Launches() as launched:
            decoder(*inputs)
    return launched.count


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_launches_are_those_that_torch_makes(depth):
    assert counted_launches(depth) == flops.launches(depth)
