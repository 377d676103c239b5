"""Networks that have sizes but no weights yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextmanager
def unfilled() -> Iterator[None]:
    """What is made in here lies on `meta`: no memory, and no time for first weights."""
    with torch.device("meta"), _WithoutNormal():
        yield


def fill_zeros(module: nn.Module) -> None:
    """Draw weights that begin at zero, or images would not depend on all there is."""
    for weights in module.parameters():
        if not weights.is_meta and not weights.any():
            nn.init.normal_(weights, std=0.02)


class _WithoutNormal(TorchFunctionMode):
    """Leaves out `normal_`, which on `meta` imports torch's compiler: that takes longer than the
    rest of torch."""

    def __torch_function__(
        self,
        function: Callable,
        types: Sequence[type],
        arguments: Sequence = (),
        named: Mapping | None = None,
    ) -> object:
        named = named or {}
        if function.__name__ == "normal_":
            return arguments[0] if arguments else named["tensor"]
        return function(*arguments, **named)
