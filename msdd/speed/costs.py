"""FLOPs and weights of a model's networks: in closed form where there is one, else counted."""

from functools import cache

import torch
from torch import nn

from msdd.model.autoencoder import decoder_of, encoder_of
from msdd.model.config import ModelConfig
from msdd.speed import flops
from msdd.speed.flop_counter import count_flops
from msdd.tokenizers.msdd import new_encoder


@cache
def evaluation_flops(config: ModelConfig, side: int, conditioned: bool = True) -> int:
    """FLOPs of one evaluation of the decoder at a scale of `side` pixels, one image, no guidance.

    conditioned: False leaves out what a fixed time makes constant; a U-ViT is counted whole.
    """
    if not config.uvit:
        return flops.evaluation_flops(config, side, conditioned)
    decoder = _shapes(decoder_of, config)
    inputs = _empty(1, 3, side, side), _empty(1), _empty(1, config.latents, config.latent_dim)
    return count_flops(lambda: decoder(*inputs))


@cache
def encoder_flops(config: ModelConfig) -> int:
    """FLOPs of encoding one image; another tokenizer's encoder is counted."""
    if config.frozen:
        encoder = _shapes(new_encoder, config)
        return count_flops(lambda: encoder.encode(_empty(1, 3, *[config.resolution] * 2)))
    if not config.kl_encoder:
        return flops.encoder_flops(config)
    encoder = _shapes(encoder_of, config)
    images = _empty(1, 3, config.resolution, config.resolution)
    return count_flops(lambda: encoder(images))


@cache
def decoder_weights(config: ModelConfig, conditioned: bool = True) -> int:
    """Numbers in one decoder; without its conditioning on time if not `conditioned`.

    A U-ViT is counted whole in either case.
    """
    if not config.uvit:
        return flops.decoder_weights(config, conditioned)
    return _size(_shapes(decoder_of, config))


@cache
def encoder_weights(config: ModelConfig) -> int:
    """Numbers in the encoder."""
    if config.frozen:
        return _size(_shapes(new_encoder, config))
    if not config.kl_encoder:
        return flops.encoder_weights(config)
    return _size(_shapes(encoder_of, config))


def _shapes(network, config: ModelConfig) -> nn.Module:
    """The network on torch's meta device, which holds shapes and computes nothing."""
    with torch.device("meta"):
        return network(config).requires_grad_(False)


def _empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def _size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
