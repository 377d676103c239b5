"""Costs of MMDiT networks in closed form: FLOPs, weights and bytes, from their shape alone.

A multiply-add is 2 FLOPs; biases, norms, activations, softmax and rotations are not counted. By
this definition every number here equals that of `torch.utils.flop_counter.FlopCounterMode` to the
last digit (tests/speed/test_flops.py). All FLOPs are those of one image.

Letters: d width, h width of the MLP, N image tokens, M latent tokens, p patch side, z numbers in a
latent token. A block has two streams, one for image tokens and one for latent tokens.
"""

from msdd.model.config import FREQUENCIES, ModelConfig, mlp_width


def evaluation_flops(config: ModelConfig, side: int, conditioned: bool = True) -> int:
    """FLOPs of one evaluation of the decoder, without guidance, at a scale of `side` pixels.

    Of the last block's latents only keys and values are needed. `conditioned=False` leaves out the
    time embedding and adaLN, which are constant at a fixed time, as in one-step decoders.
    """
    d, m, n = config.width, config.latents, tokens(config, side)
    pixels = 3 * config.patch**2
    whole = (config.depth - 1) * _block(config, n, m)
    last = _qkv(config, n + m) + _attention(config, n, n + m) + _rest(config, n)
    ends = 2 * n * d * 2 * pixels + 2 * m * config.latent_dim * d
    time = conditioning_flops(config) if conditioned else 0
    return whole + last + ends + time


def conditioning_flops(config: ModelConfig) -> int:
    """FLOPs that an evaluation spends on its time: the embedding, and adaLN of every stream."""
    d = config.width
    streams = 6 * (2 * config.depth - 1) + 2  # linear layers d x d; the last latents have two
    return 2 * d * (FREQUENCIES + d) + 2 * d * d * (streams + 2)


def encoder_flops(config: ModelConfig) -> int:
    """FLOPs of encoding one image; in the last block only the latents attend and have an MLP."""
    d, m, side = config.width, config.latents, config.resolution // config.encoder_patch
    n = side * side
    whole = (config.depth - 1) * _block(config, n, m)
    last = _qkv(config, n + m) + _attention(config, m, n + m) + _rest(config, m)
    return whole + last + 2 * n * 3 * config.encoder_patch**2 * d + 2 * m * d * config.latent_dim


def attention_share(config: ModelConfig, side: int) -> float:
    """The share of an evaluation's FLOPs that is attention: products of queries, keys, values."""
    m, n = config.latents, tokens(config, side)
    joint = (config.depth - 1) * _attention(config, n + m, n + m) + _attention(config, n, n + m)
    return joint / evaluation_flops(config, side)


def decoder_weights(config: ModelConfig, conditioned: bool = True) -> int:
    """Numbers in one decoder, or those that an evaluation at a fixed time reads."""
    d, z, pixels = config.width, config.latent_dim, 3 * config.patch**2
    streams = (2 * config.depth - 1) * _stream(config) + _projections(config)
    ends = _linear(pixels, d) + _linear(z, d) + _linear(d, pixels)
    time = _linear(FREQUENCIES, d) + _linear(d, d)
    adaln = (2 * config.depth - 1) * _linear(d, 6 * d) + 2 * _linear(d, 2 * d)
    null = config.latents * z
    return streams + ends + null + (time + adaln if conditioned else 0)


def encoder_weights(config: ModelConfig) -> int:
    """Numbers in the encoder, including the image stream of its last block, which is not used."""
    d = config.width
    norms = 4 * d  # two in each stream, with scale and shift
    streams = 2 * config.depth * (_stream(config) + norms)
    ends = _linear(3 * config.encoder_patch**2, d) + _linear(d, config.latent_dim)
    return streams + ends + config.latents * d


def activation_numbers(config: ModelConfig, side: int) -> int:
    """Numbers that one evaluation writes to and reads from memory if no cache keeps any of them.

    Elementwise operations are assumed to be fused into the product beside them. So a token of a
    block costs d -> 3d for queries, keys and values, 3d -> d for attention, d + d -> d for its
    projection with the residual, d -> 2h and h + d -> d for the MLP with its residual. A GPU's
    cache holds much of this at small batches, so it is no floor.
    """
    per_token = 13 * config.width + 3 * mlp_width(config.width)
    return config.depth * (tokens(config, side) + config.latents) * per_token


def launches(depth: int) -> int:
    """Kernels launched by one eager evaluation of a decoder of `depth` blocks, without autocast.

    Every operation except views counts as one, fused attention too: as counted with torch 2.13.
    """
    return 8 + 47 * depth


def tokens(config: ModelConfig, side: int) -> int:
    """N: patches of an image of `side` pixels in the decoder."""
    return (side // config.patch) ** 2


def _block(config: ModelConfig, n: int, m: int) -> int:
    return _qkv(config, n + m) + _attention(config, n + m, n + m) + _rest(config, n + m)


def _qkv(config: ModelConfig, count: int) -> int:
    return 6 * config.width**2 * count


def _attention(config: ModelConfig, queries: int, keys: int) -> int:
    return 4 * config.width * queries * keys


def _rest(config: ModelConfig, count: int) -> int:
    """The projection after attention, and the three matrices of the MLP."""
    return 2 * config.width * (config.width + 3 * mlp_width(config.width)) * count


def _projections(config: ModelConfig) -> int:
    """Weights of the layer for queries, keys and values, and of the norms of the first two."""
    return _linear(config.width, 3 * config.width) + 4 * config.width // config.heads


def _stream(config: ModelConfig) -> int:
    d = config.width
    return _projections(config) + _linear(d, d) + 3 * d * mlp_width(d)


def _linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
