"""Exponential moving average of weights, by half-life in images."""

import torch
from torch import Tensor, nn

# The half-life is this share of the images seen until it reaches its value, so that the average
# forgets the random start (EDM2, Karras et al. 2024).
RAMP = 0.05


class Ema:
    """Exponential moving average of a module's parameters; this is what a training exports.

    half_life: in images. Raises ValueError for a module with buffers, which would not be averaged.
    """

    def __init__(self, module: nn.Module, half_life: int) -> None:
        self.half_life = half_life
        self.current = dict(module.named_parameters())
        if module.state_dict().keys() != self.current.keys():
            raise ValueError("the networks are expected to have no state besides parameters")
        self.average = {name: p.detach().clone() for name, p in self.current.items()}

    @torch.no_grad()
    def update(self, images: int, batch: int) -> None:
        """Average in the parameters after a step of `batch` images, `images` in all.

        avg <- keep avg + (1 - keep) parameters, with keep = 2^(-batch / half-life).
        """
        half_life = min(self.half_life, RAMP * images)
        keep = 0.5 ** (batch / half_life)
        torch._foreach_lerp_(
            list(self.average.values()), [p.detach() for p in self.current.values()], 1 - keep
        )

    def state_dict(self) -> dict[str, Tensor]:
        return self.average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if state.keys() != self.average.keys():
            raise ValueError("the average belongs to another model")
        for name, value in state.items():
            self.average[name].copy_(value)
