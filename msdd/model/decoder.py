"""The decoder: one MMDiT for all scales, which denoises an image given its latents."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.flow.scales import Scale
from msdd.model.config import ModelConfig
from msdd.model.mmdit import EPS, Block, initialise, modulate
from msdd.model.patches import patchify, unpatchify
from msdd.model.positions import token_rotation

FREQUENCIES = 256


def time_features(time: Tensor) -> Tensor:
    """Cosines, then sines, of time (B,) at 128 frequencies from 1 down to 1/10000: (B, 256)."""
    half = FREQUENCIES // 2
    frequencies = torch.exp(torch.arange(half, device=time.device) * (-math.log(10000) / half))
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Decoder(nn.Module):
    """Noisy images at any scale (B, 3, side, side), T (B,) and latents to the velocity v."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed_image = nn.Linear(3 * config.patch**2, width)
        self.embed_latents = nn.Linear(config.latent_dim, width)
        self.null = nn.Parameter(torch.empty(1, config.latents, config.latent_dim))
        self.embed_time = nn.Sequential(
            nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )
        last = config.depth - 1
        self.blocks = nn.ModuleList(
            Block(width, config.heads, modulated=True, keys_only=i == last)
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=EPS, elementwise_affine=False)
        self.adaln = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, 3 * config.patch**2)
        initialise(self, local=config.positions == "grid")
        nn.init.normal_(self.null, std=0.02)
        for zero in (self.adaln.weight, self.head.weight):  # the first prediction is 0
            nn.init.zeros_(zero)

    def forward(self, x: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        side = x.shape[-1]
        condition = self.embed_time(time_features(self.config.time_scale * time))
        image = self.embed_image(patchify(x, self.config.patch))
        context = self.embed_latents(latents)
        by = token_rotation(self.config, side, self.config.patch, x.device)
        for block in self.blocks[:-1]:
            context, image = block(context, image, condition, by)
        image = self.blocks[-1].read_image(context, image, condition, by)
        shift, scale = self.adaln(F.silu(condition))[:, None].chunk(2, dim=-1)
        tokens = self.head(modulate(self.norm(image), shift, scale))
        return unpatchify(tokens, self.config.patch, side)

    def velocity(
        self, x: Tensor, t: Tensor | float, scale: Scale, latents: Tensor | None
    ) -> Tensor:
        """v at x (B, 3, side, side) and local t (a number or (B,)); latents None: without them."""
        t = torch.as_tensor(t, dtype=torch.float32, device=x.device).expand(len(x))
        latents = self.null.expand(len(x), -1, -1) if latents is None else latents
        return self(x, scale.time(t), latents).to(x.dtype)
