"""FLOPs and weights of networks without a closed form, counted on shapes alone."""

from contextlib import nullcontext
from dataclasses import replace

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from msdd.files import expand_user
from msdd.model.autoencoder import decoder_of
from msdd.model.config import FrozenEncoder, ModelConfig
from msdd.speed.flop_counter import count_flops
from msdd.tokenizers import frozen, klvae
from msdd.tokenizers.catalogue import module_of
from msdd.tokenizers.msdd import new_encoder
from msdd.tokenizers.own import Own
from msdd.tokenizers.systems import SYSTEMS
from msdd.tokenizers.tokenizer import Tokenizer
from msdd.weights.unfilled import unfilled


def with_encoder(config: ModelConfig, tokenizer: str) -> ModelConfig:
    """The config with another tokenizer's encoder; its statistics, which only training knows, are
    made up."""
    name, shape = frozen.shown(tokenizer), (config.latent_dim, *config.grid)
    settings = None if name in SYSTEMS else klvae.config_of(expand_user(tokenizer))
    even = (0.0,) * config.latent_dim, (1.0,) * config.latent_dim
    return replace(config, frozen=FrozenEncoder(name, settings, "", "", shape, *even))


@torch.inference_mode()
def coding_flops(tokenizer: Tokenizer) -> dict[str, int]:
    """FLOPs of encoding and decoding one image, by `encode` and `decode`; of what does not do these
    apart those of both, by `both`.

    They follow from shapes alone: on a processor a real decode may take half an hour.
    """
    own = isinstance(tokenizer, Own)  # may compute outside torch
    with nullcontext() if own else FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.zeros(1, 3, *[tokenizer.resolution] * 2, device=tokenizer.device)
        if not tokenizer.apart:
            return {"both": count_flops(lambda: tokenizer.reconstruct(images))}
        latents = tokenizer.encode(images)
        return {
            "encode": count_flops(lambda: tokenizer.encode(images)),
            "decode": count_flops(lambda: tokenizer.decode(latents)),
        }


def system_flops(name: str, side: int) -> int:
    """FLOPs to encode and decode one image of `side` pixels with a system, counted without weights;
    0 for any other tokenizer, which would have to be loaded. MsddError for a side that it does not
    take."""
    system = SYSTEMS.get(name)
    if system is None or system.config is None:
        return 0
    module = module_of(system)
    with FakeTensorMode(allow_non_fake_inputs=True):
        made = getattr(module, system.family.kind)(system.config(module)).requires_grad_(False)
        made.check_sides(side, side)
        made.resolution = side
        return sum(coding_flops(made).values())


def evaluation_flops(config: ModelConfig, side: int) -> int:
    """FLOPs of one evaluation of a U-ViT for one image of `side` pixels."""
    decoder = shapes(decoder_of, config)
    inputs = empty(1, 3, side, side), empty(1), empty(1, config.latents, config.latent_dim)
    return count_flops(lambda: decoder(*inputs))


def encoder_flops(config: ModelConfig) -> int:
    """FLOPs to encode one image."""
    encoder = shapes(new_encoder, config)
    images = empty(1, 3, config.resolution, config.resolution)
    return count_flops(lambda: encoder.encode(images) if config.frozen else encoder(images))


def decoder_weights(config: ModelConfig) -> int:
    return size(shapes(decoder_of, config))


def encoder_weights(config: ModelConfig) -> int:
    return size(shapes(new_encoder, config))


def shapes(network, config: ModelConfig) -> nn.Module:
    """The network on torch's meta device, which holds shapes and computes nothing."""
    with unfilled():
        return network(config).requires_grad_(False)


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta")


def size(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
