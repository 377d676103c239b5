"""FLOPs and kernel launches of a call, counted while it runs: for systems of any kind."""

from collections.abc import Callable
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder

FREE = ("aten::_unsafe_view", "aten::promote_types")  # not marked as views, but no kernel runs


@torch.no_grad()
def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions in a call, forward only.

    Attention runs as two products, because torch's counter does not know the CPU's fused one.
    Parameters must not require gradients.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@cache
def launches(depth: int) -> int:
    """Kernels launched by one eager evaluation of a decoder of `depth` blocks, without autocast.

    Every operation except views counts as one, fused attention too. The number depends on the
    depth alone, so it is counted on a tiny decoder.
    """
    config = ModelConfig(8, 1, 4, 4, 16, depth, 2, 3, 2, "grid")
    decoder = Decoder(config).requires_grad_(False)
    inputs = torch.zeros(2, 3, 8, 8), torch.zeros(2), torch.zeros(2, 3, 2)
    with torch.no_grad():
        decoder(*inputs)  # makes the table of positions, which later evaluations share
        with _Launches() as launched:
            decoder(*inputs)
    return launched.count


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not (function.is_view or function.name() in FREE)
        return function(*args, **(kwargs or {}))
