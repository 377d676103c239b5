"""Options of torch.compile, and copies of networks that can be compiled alone."""

import copy

from torch import nn

SPECIALISATIONS = 256  # every model, scale and batch is a graph of its own


def options(cuda_graphs: bool = False) -> dict[str, object]:
    """Options of torch.compile: static shapes and, if asked, CUDA graphs. Sets torch's limit of
    graphs to 256."""
    from torch._dynamo import config  # takes longer to import than the rest of torch

    config.recompile_limit = max(config.recompile_limit, SPECIALISATIONS)
    return {"dynamic": False, **({"mode": "reduce-overhead"} if cuda_graphs else {})}


def shared_copy(module: nn.Module) -> nn.Module:
    """A copy that can be cast, moved and compiled alone; until then both share their weights."""
    own = {id(p): nn.Parameter(p.data, requires_grad=False) for p in module.parameters()}
    return copy.deepcopy(module, own)
