"""FLOPs and weights of a model's networks: in closed form where there is one, else counted.

Imports torch only to count.
"""

from functools import cache

from msdd.model.config import ModelConfig
from msdd.speed import flops


@cache
def evaluation_flops(config: ModelConfig, side: int, conditioned: bool = True) -> int:
    """FLOPs of one evaluation of the decoder at a scale of `side` pixels, one image, no guidance.

    conditioned: False leaves out what a fixed time makes constant; a U-ViT is counted whole.
    """
    if not config.uvit:
        return flops.evaluation_flops(config, side, conditioned)
    from msdd.speed import counted

    return counted.evaluation_flops(config, side)


def blocks(config: ModelConfig) -> int:
    """Blocks of the decoder; of a U-ViT its residual blocks, too."""
    uvit = config.uvit
    if uvit is None:
        return config.depth
    return uvit.depth + len(uvit.multipliers) * (2 * uvit.layers + 1)


@cache
def encoder_flops(config: ModelConfig) -> int:
    """FLOPs of encoding one image."""
    if not (config.kl_encoder or config.frozen):
        return flops.encoder_flops(config)
    from msdd.speed import counted

    return counted.encoder_flops(config)


@cache
def decoder_weights(config: ModelConfig, conditioned: bool = True) -> int:
    """Numbers in one decoder; without its conditioning on time if not `conditioned`.

    A U-ViT is counted whole in either case.
    """
    if not config.uvit:
        return flops.decoder_weights(config, conditioned)
    from msdd.speed import counted

    return counted.decoder_weights(config)


@cache
def encoder_weights(config: ModelConfig) -> int:
    """Numbers in the encoder."""
    if not (config.kl_encoder or config.frozen):
        return flops.encoder_weights(config)
    from msdd.speed import counted

    return counted.encoder_weights(config)
