"""Clean estimates and jump noise inside a decode."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.flow.jump import block_noise, carry_noise, jump
from msdd.flow.path import clean_estimate, downsample, up
from msdd.tokenizers.msdd import MSDD, tokens_of


@torch.inference_mode()
def trace(
    tokenizer: MSDD, images: Tensor, ids: Sequence[int], seed: int
) -> tuple[list[Tensor], list[dict[str, float]]]:
    """Clean estimates of images (B, 3, R, R) at every scale, and `jump_noise` after every jump."""
    normals = tokenizer.normals(ids, seed)
    states = tokenizer.states(tokens_of(tokenizer.encode(images), tokenizer.config), normals)
    scales, noise = tokenizer.config.flow, normals[0]
    estimates, jumps = [clean_estimate(states[0], noise, scales[0])], []
    for before, scale in zip(scales, scales[1:], strict=False):
        fresh = block_noise(normals[scale.index], tokenizer.correlation)
        start = jump(states[before.index], fresh, before.end)
        signal = (1 - scale.start) * up(downsample(images, before))
        jumps.append({"scale": scale.index, **jump_noise(start - signal, scale.start)})
        noise = carry_noise(noise, fresh)
        estimates.append(clean_estimate(states[scale.index], noise, scale))
    return estimates, jumps


def jump_noise(noise: Tensor, level: float) -> dict[str, float]:
    """Variance relative to level^2, and correlation inside 2x2 blocks, of noise (B, C, H, W).

    White noise of this level has 1 and 0. What the decoder got wrong at the scale before counts
    as noise that is equal inside each block.
    """
    blocks = noise.unfold(2, 2, 2).unfold(3, 2, 2).flatten(-2)  # (B, C, H/2, W/2, 4)
    square = blocks.square().mean()
    products = (blocks.sum(-1).square() - blocks.square().sum(-1)).mean() / 12
    return {
        "variance": (square / level**2).item(),
        "correlation": (products / square).item(),
    }
