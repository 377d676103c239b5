"""The decoder: one MMDiT for all scales, which denoises an image given its latents."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.model.config import FREQUENCIES, ModelConfig
from msdd.model.denoiser import Denoiser
from msdd.model.mmdit import EPS, Block, Modulation, initialise, modulate
from msdd.model.patches import patchify, unpatchify
from msdd.model.positions import grid_rotation, token_rotation


def time_features(time: Tensor) -> Tensor:
    """Cosines, then sines, of time (B,) at 128 frequencies from 1 down to 1/10000: (B, 256)."""
    half = FREQUENCIES // 2
    steps = torch.arange(half, dtype=torch.float32, device=time.device)
    frequencies = torch.exp(steps * (-math.log(10000) / half))
    time = time.to(torch.promote_types(time.dtype, torch.float32))
    angles = time[:, None] * frequencies.to(time)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def time_mlp(width: int) -> nn.Sequential:
    """The MLP from `time_features` (B, 256) to the condition (B, width)."""
    return nn.Sequential(nn.Linear(FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))


class Conditioning(NamedTuple):
    """The effect of the time T on the network, which does not depend on the image.

    blocks: adaLN of the latent and the image stream of each block.
    output: shift and scale before the last layer, (B, 1, width) each.
    """

    blocks: list[tuple[Modulation, Modulation]]
    output: tuple[Tensor, Tensor]


class Decoder(Denoiser):
    """Noisy images of any scale (B, 3, side, side), T (B,) and latents to the velocity v.

    modulated: by the time. Without it the network has one time folded into its weights
               (`msdd.fast.fold`) and is called through `denoise`.
    """

    def __init__(self, config: ModelConfig, modulated: bool = True) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.embed_image = nn.Linear(3 * config.patch**2, width)
        self.embed_latents = nn.Linear(config.latent_dim, width)
        self.null = nn.Parameter(torch.empty(1, config.latents, config.latent_dim))
        self.embed_time = time_mlp(width) if modulated else None
        last = config.depth - 1
        self.blocks = nn.ModuleList(
            Block(width, config.heads, modulated, ends="latents" if i == last else None)
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(width, eps=EPS, elementwise_affine=not modulated)
        self.adaln = nn.Linear(width, 2 * width) if modulated else None
        self.head = nn.Linear(width, 3 * config.patch**2)
        for side in config.sides:
            rotation = token_rotation(config, side, config.patch)
            self.register_buffer(f"rotation{side}", rotation.to(self.null.device), persistent=False)
        initialise(self, local=config.positions == "grid")
        nn.init.normal_(self.null, std=0.02)
        nn.init.zeros_(self.head.weight)  # the first prediction is 0
        if modulated:
            nn.init.zeros_(self.adaln.weight)

    @property
    def last_layer(self) -> Tensor:
        return self.head.weight

    def forward(self, x: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        return self.denoise(x, latents, self.conditioning(time))

    def conditioning(self, time: Tensor) -> Conditioning:
        """adaLN of all blocks and the output at the times T (B,) in [0, 1]."""
        condition = self.embed_time(time_features(self.config.time_scale * time))
        blocks = [block.modulation(condition) for block in self.blocks]
        shift, scale = self.adaln(F.silu(condition))[:, None].chunk(2, dim=-1)
        return Conditioning(blocks, (shift, scale))

    def denoise(
        self, x: Tensor, latents: Tensor, conditioning: Conditioning | None = None
    ) -> Tensor:
        """The velocity v of images x (B, 3, side, side) and latents (B, latents, latent_dim).

        conditioning: of the time; None where the time is folded into the weights.

        With positions on a grid, x may be of other sides than those it was trained with, and
        latents then as many as cover it: the positions go on. What is lost by that: docs/sizes.md.
        """
        modulations = conditioning.blocks if conditioning else [(None, None)] * len(self.blocks)
        image = self.embed_image(patchify(x, self.config.patch))
        context = self.embed_latents(latents)
        rotation = self.rotation(x.shape[-2:], latents)
        for block, modulation in zip(self.blocks, modulations, strict=True):
            context, image = block(context, image, rotation, *modulation)
        image = self.norm(image)
        image = modulate(image, *conditioning.output) if conditioning else image
        return unpatchify(self.head(image), self.config.patch, x.shape[-2])

    def rotation(self, size: torch.Size, latents: Tensor) -> Tensor:
        """RoPE's angles for images of `size` (height, width) and their latents; computed anew for a
        size or a number of latents other than the model's."""
        height, width = size
        if height == width and latents.shape[1] == self.config.latents:
            return self.get_buffer(f"rotation{width}")
        grid = self.config.grid_of(height, width, latents.shape[1])
        return grid_rotation(self.config, height, width, grid).to(latents.device)
