"""Weights of Inception as pytorch_fid's file has them, but random."""

import torch
from torch import Tensor

from msdd.weights.optional_imports import import_torchvision


def random_inception() -> dict[str, Tensor]:
    """They keep an activation's size, so that features of different images differ."""
    layout = dict(num_classes=1008, aux_logits=False, weights=None, init_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = import_torchvision().models.inception_v3(**layout)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(module.weight)
    state = network.state_dict()
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
