"""SSDD's U-ViT in place of the multi-scale decoder, at one scale."""

import torch
from torch import Tensor, nn

from msdd.model.config import ModelConfig
from msdd.model.denoiser import Denoiser
from msdd.model.uvit import UViT


class UViTDecoder(Denoiser):
    """Noisy images (B, 3, R, R), T (B,) and latents (B, latents, latent_dim) to the velocity v.

    At one scale the ends of the path are noise and image, so v is minus SSDD's velocity. The null
    latents are an addition: SSDD has no guidance.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.uvit = UViT(config.uvit)
        self.null = nn.Parameter(torch.empty(1, config.latents, config.latent_dim))
        nn.init.normal_(self.null, std=0.02)

    @property
    def last_layer(self) -> Tensor:
        return self.uvit.conv_out.weight

    def forward(self, x: Tensor, time: Tensor, latents: Tensor) -> Tensor:
        grid = self.config.grid_of(*x.shape[-2:], latents.shape[1])
        return -self.uvit(x, time, latents.mT.unflatten(2, grid))
