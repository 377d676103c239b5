"""What every decoder is to the flow: a velocity given a state, its time and an image's latents."""

import torch
from torch import Tensor, nn

from msdd.flow.scales import Scale
from msdd.model.config import ModelConfig


class Denoiser(nn.Module):
    """Called with noisy images (B, 3, side, side), T (B,) and latents, it returns the velocity v.

    null:       the latents of no image, (1, latents, latent_dim), for classifier-free guidance.
    last_layer: the weight that puts out the velocity.
    """

    config: ModelConfig
    null: nn.Parameter
    last_layer: Tensor

    def velocity(
        self, x: Tensor, t: Tensor | float, scale: Scale, latents: Tensor | None
    ) -> Tensor:
        """v at x (B, 3, side, side) and local t (a number or (B,)); latents None: without them."""
        if not isinstance(t, Tensor):
            t = torch.full((len(x),), t, device=x.device)  # filled there, nothing is waited for
        latents = self.null.expand(len(x), -1, -1) if latents is None else latents
        return self(x, scale.time(t), latents).to(x.dtype)
