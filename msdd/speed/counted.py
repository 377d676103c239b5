"""What a call costs, counted while it runs: for any system, with or without a closed form."""

from collections.abc import Callable
from functools import cache

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder

FREE = ("aten::_unsafe_view", "aten::promote_types")  # no views by name, but nothing runs


@torch.no_grad()
def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions in a call, forward only.

    torch's counter does not know the CPU's fused attention, so attention runs as two products.
    Parameters must not require gradients.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


@cache
def launches(depth: int) -> int:
    """Kernels that one eager evaluation of a decoder of `depth` blocks starts, without autocast.

    Operations that are no views are counted; fused attention is one. Sizes besides the depth do
    not change the number, so a tiny decoder tells it.
    """
    config = ModelConfig(8, 1, 4, 4, 16, depth, 2, 3, 2, "grid")
    decoder = Decoder(config).requires_grad_(False)
    inputs = torch.zeros(2, 3, 8, 8), torch.zeros(2), torch.zeros(2, 3, 2)
    with torch.no_grad():
        decoder(*inputs)  # makes the table of positions, which later evaluations share
        with _Launches() as found:
            decoder(*inputs)
    return found.count


class _Launches(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not (function.is_view or function.name() in FREE)
        return function(*args, **(kwargs or {}))
