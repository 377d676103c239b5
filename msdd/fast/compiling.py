"""How networks are compiled, and the copies of tokenizers that are."""

import copy
import os

from torch import nn
from torch._dynamo import config

from msdd.weights.pretrained import cache_folder

SPECIALISATIONS = 256  # every model, scale and batch is a graph of its own


def options(cuda_graphs: bool = False) -> dict[str, object]:
    """Of torch.compile: graphs of one size each. What was compiled is kept among msdd's caches for
    the next time."""
    config.recompile_limit = max(config.recompile_limit, SPECIALISATIONS)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder().parent / "compiled"))
    return {"dynamic": False, **({"mode": "reduce-overhead"} if cuda_graphs else {})}


def sharing(module: nn.Module) -> nn.Module:
    """A copy that may be cast, moved and compiled alone; until then its weights take no memory."""
    own = {id(p): nn.Parameter(p.data, requires_grad=False) for p in module.parameters()}
    return copy.deepcopy(module, own)
