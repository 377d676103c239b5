"""Which implementation of attention is fastest for a shape: measured, since it differs by device,
length and precision."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from msdd.device import clock
from msdd.model.config import ModelConfig

CANDIDATES = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
ROUNDS = 5


def fastest(config: ModelConfig, side: int, batch: int, like: Tensor) -> SDPBackend:
    """The best back end for the joint attention of a scale, as `like` in type and place."""
    length = config.latents + (side // config.patch) ** 2
    shape = (batch, config.heads, length, config.width // config.heads)
    q, k, v = torch.randn(3, *shape).to(like).unbind()
    seconds = {backend: measured(backend, q, k, v) for backend in CANDIDATES}
    return min(seconds, key=seconds.get)


@torch.inference_mode()
def measured(backend: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> float:
    """Seconds of the fastest of a few calls after one; infinite where the back end cannot serve."""
    seconds = []
    for _ in range(ROUNDS + 1):
        started = clock(q.device)
        try:
            with sdpa_kernel(backend):
                F.scaled_dot_product_attention(q, k, v)
        except RuntimeError:
            return float("inf")
        seconds.append(clock(q.device) - started)
    return min(seconds[1:])
