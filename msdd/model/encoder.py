"""The encoder: learned registers read the image and become the latents."""

import torch
from torch import Tensor, nn

from msdd.model.config import ModelConfig
from msdd.model.mmdit import EPS, Block, initialise
from msdd.model.patches import patchify
from msdd.model.positions import token_rotation


class Encoder(nn.Module):
    """Images (B, 3, R, R) in [-1, 1] to latents (B, latents, latent_dim); deterministic.

    Of the image half of the last block only keys and values are used; the rest exists because the
    authors' layout has it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_image = nn.Linear(3 * config.encoder_patch**2, config.width)
        self.registers = nn.Parameter(torch.empty(1, config.latents, config.width))
        last = config.depth - 1
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, modulated=False, ends="image" if i == last else None)
            for i in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width, eps=EPS, elementwise_affine=False)
        self.head = nn.Linear(config.width, config.latent_dim)
        rotation = token_rotation(config, config.resolution, config.encoder_patch)
        self.register_buffer("rotation", rotation.to(self.registers.device), persistent=False)
        initialise(self, local=config.positions == "grid")
        nn.init.normal_(self.registers, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.norm(self.read(images)))

    def read(self, images: Tensor) -> Tensor:
        """Registers after the last block, (B, latents, width)."""
        image = self.embed_image(patchify(images, self.config.encoder_patch))
        latents = self.registers.expand(len(images), -1, -1)
        for block in self.blocks:
            latents, image = block(latents, image, self.rotation)
        return latents
