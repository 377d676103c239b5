"""Time of calls, counted when the device has done all that was asked of it."""

from collections.abc import Callable

import torch

from msdd.device import clock


def seconds(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds for one of `calls` calls in a row, without a pause between them."""
    started = clock(device)
    for _ in range(calls):
        call()
    return (clock(device) - started) / calls
