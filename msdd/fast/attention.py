"""Chooses the fastest attention back end for a shape, by timing.

The choice depends on the device, the length and the precision.
"""

import copyreg

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from msdd.device import seconds
from msdd.model.config import ModelConfig


def back_end(name: str) -> SDPBackend:
    """By its name: pickle finds none by its class, whose own name is another."""
    return getattr(SDPBackend, name)


copyreg.pickle(SDPBackend, lambda one: (back_end, (one.name,)))

CANDIDATES = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
ROUNDS = 5
CALLS = {"cuda": 20, "cpu": 1}  # in a row: a single one on a GPU would show its launch alone


def fastest(config: ModelConfig, side: int, batch: int, like: Tensor) -> SDPBackend:
    """The fastest back end for the joint attention of a scale of `side` pixels, at this batch size.

    Measured in the dtype and on the device of `like`.
    """
    length = config.latents + (side // config.patch) ** 2
    shape = (batch, config.heads, length, config.width // config.heads)
    drawn = torch.Generator(like.device)  # its own: the caller's random numbers stay as they are
    q, k, v = torch.randn(3, *shape, dtype=like.dtype, device=like.device, generator=drawn)
    times = {backend: attention_seconds(backend, q, k, v) for backend in CANDIDATES}
    return min(times, key=times.get)


@torch.inference_mode()
def attention_seconds(backend: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> float:
    """Seconds of the fastest of a few calls; infinity where the back end does not support them."""
    try:
        with sdpa_kernel(backend):
            return min(
                seconds(
                    lambda: F.scaled_dot_product_attention(q, k, v), q.device, CALLS[q.device.type]
                )
                for _ in range(ROUNDS + 1)
            )
    except RuntimeError:
        return float("inf")
