"""AdamW and its learning rate, counted in images."""

import math

import torch
from torch import nn

from msdd.params.sections import Optimisation


def optimiser(network: nn.Module, settings: Optimisation) -> torch.optim.AdamW:
    """AdamW over all parameters; weight decay applies to matrices and convolution kernels only."""
    decaying = [p for p in network.parameters() if p.ndim in (2, 4)]
    others = [p for p in network.parameters() if p.ndim not in (2, 4)]
    groups = [
        {"params": decaying, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def learning_rate(images: int, settings: Optimisation) -> float:
    """The learning rate of the step that begins after `images`: linear warm-up times a cosine.

    The cosine falls from `settings.learning_rate` to `settings.min_lr_ratio` times that over the
    whole training.
    """
    warm = min(1.0, (images + settings.batch) / settings.warmup) if settings.warmup else 1.0
    cosine = 0.5 + 0.5 * math.cos(math.pi * images / settings.images)
    floor = settings.min_lr_ratio
    return settings.learning_rate * warm * (floor + (1 - floor) * cosine)
