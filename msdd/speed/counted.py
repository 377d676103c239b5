"""FLOPs and weights of networks without a closed form, counted on shapes alone."""

from dataclasses import replace

import torch
from torch import nn

from msdd.files import expand_user
from msdd.model.autoencoder import decoder_of
from msdd.model.config import FrozenEncoder, ModelConfig
from msdd.speed.flop_counter import count_flops
from msdd.tokenizers import frozen, klvae
from msdd.tokenizers.msdd import new_encoder
from msdd.tokenizers.systems import SYSTEMS


def with_encoder(config: ModelConfig, tokenizer: str) -> ModelConfig:
    """The config with another tokenizer's encoder; its statistics, which only training knows, are
    made up."""
    name, shape = frozen.shown(tokenizer), (config.latent_dim, *config.grid)
    settings = None if name in SYSTEMS else klvae.config_of(expand_user(tokenizer))
    even = (0.0,) * config.latent_dim, (1.0,) * config.latent_dim
    return replace(config, frozen=FrozenEncoder(name, settings, "", "", shape, *even))


def evaluation_flops(config: ModelConfig, side: int) -> int:
    """Of one evaluation of a U-ViT at `side` pixels, one image."""
    decoder = shapes(decoder_of, config)
    inputs = empty(1, 3, side, side), empty(1), empty(1, config.latents, config.latent_dim)
    return count_flops(lambda: decoder(*inputs))


def encoder_flops(config: ModelConfig) -> int:
    """Of encoding one image."""
    encoder = shapes(new_encoder, config)
    images = empty(1, 3, config.resolution, config.resolution)
    return count_flops(lambda: encoder.encode(images) if config.frozen else encoder(images))


def decoder_weights(config: ModelConfig) -> int:
    return size(shapes(decoder_of, config))


def encoder_weights(config: ModelConfig) -> int:
    return size(shapes(new_encoder, config))


def shapes(network, config: ModelConfig) -> nn.Module:
    """The network on torch's meta device, which holds shapes and computes nothing."""
    with torch.device("meta"):
        return network(config).requires_grad_(False)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
