"""FLOPs of a call, counted while it runs: for systems of any kind."""

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def count_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and convolutions in a call, forward only.

    Attention runs as two products, because torch's counter does not know the CPU's fused one.
    Parameters must not require gradients.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
