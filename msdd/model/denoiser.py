"""`Denoiser`, the base class of decoders."""

import torch
from torch import Tensor, nn

from msdd.flow.scales import Scale
from msdd.model.config import ModelConfig


class Denoiser(nn.Module):
    """A network from noisy images (B, 3, side, side), T (B,) and latents to the velocity v.

    null:       learned latents (1, latents, latent_dim) in place of an image's, for guidance.
    last_layer: the weight of the layer that outputs the velocity.
    """

    config: ModelConfig
    null: nn.Parameter
    last_layer: Tensor

    def velocity(
        self, x: Tensor, t: Tensor | float, scale: Scale, latents: Tensor | None
    ) -> Tensor:
        """v (B, 3, side, side) of states x at the local time t of a scale.

        t: in [0, 1], a number or (B,). latents: (B, latents, latent_dim); None: the null latents.
        """
        if not isinstance(t, Tensor):
            t = torch.full((len(x),), t, dtype=x.dtype, device=x.device)  # filled there: no wait
        latents = self.null.expand(len(x), -1, -1) if latents is None else latents
        return self(x, scale.time(t), latents).to(x.dtype)
