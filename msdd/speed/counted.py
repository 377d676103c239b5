"""FLOPs and weights of networks without a closed form, counted on shapes alone."""

import torch
from torch import nn

from msdd.model.autoencoder import decoder_of, encoder_of
from msdd.model.config import ModelConfig
from msdd.speed.flop_counter import count_flops


def evaluation_flops(config: ModelConfig, side: int) -> int:
    """Of one evaluation of a U-ViT at `side` pixels, one image."""
    decoder = shapes(decoder_of, config)
    inputs = empty(1, 3, side, side), empty(1), empty(1, config.latents, config.latent_dim)
    return count_flops(lambda: decoder(*inputs))


def encoder_flops(config: ModelConfig) -> int:
    """Of encoding one image."""
    encoder = shapes(encoder_of, config)
    images = empty(1, 3, config.resolution, config.resolution)
    return count_flops(lambda: encoder(images))


def decoder_weights(config: ModelConfig) -> int:
    return size(shapes(decoder_of, config))


def encoder_weights(config: ModelConfig) -> int:
    return size(shapes(encoder_of, config))


def shapes(network, config: ModelConfig) -> nn.Module:
    """The network on torch's meta device, which holds shapes and computes nothing."""
    with torch.device("meta"):
        return network(config).requires_grad_(False)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
