"""SSDD (arXiv 2510.04961): a KL encoder, and a U-ViT that decodes by a flow in pixels.

t = 1 is noise, t = 0 the image, x_t = (1 - t) x + t n; the decoder predicts x - n. Trained weights
are published as flat safetensors under the names of the parameters here, for non-commercial use.
Of the variant with an SD-VAE's encoder, the names of that encoder are the ones of diffusers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.flow.noise import image_noise
from msdd.model import uvit
from msdd.model.kl_encoder import ENCODERS, KLEncoder, KLEncoderConfig, posterior
from msdd.model.uvit import UViT, UViTConfig
from msdd.tokenizers import klvae
from msdd.tokenizers.tokenizer import (
    Description,
    Tokenizer,
    compile_each,
    compiled,
    noise_key,
    without_gradients,
)
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

OWN_ENCODER = "encoder.out_proj.weight"  # a tensor that an SSDD has beside its own encoder


@dataclass(frozen=True)
class SSDDConfig:
    """Shape of the networks, and the side of the images that they are described at.

    encoder: one of SSDD's own, or the configuration of an AutoencoderKL of diffusers.
    """

    encoder: KLEncoderConfig | klvae.Config
    decoder: UViTConfig
    resolution: int = 256


def published_config(encoder: str, size: str) -> SSDDConfig:
    """The system of an encoder (f8c4, f16c4, f16c16, f32c64 or sdvae) and a decoder's size."""
    if encoder == "sdvae":
        return SSDDConfig(klvae.PUBLISHED, uvit.published_config(size, latent_dim=4))
    shape = ENCODERS[encoder]
    return SSDDConfig(shape, uvit.published_config(size, shape.latent_dim))


@dataclass(frozen=True)
class Sampling:
    """Euler steps from noise to image; a distilled decoder takes one.

    power: times are ((N - i) / N)^power: more than 1 makes steps shorter towards the image.
    """

    steps: int = 8
    power: float = 2.0

    @property
    def times(self) -> list[float]:
        """The times between steps, from 1 to 0: `steps` + 1 of them."""
        return [((self.steps - i) / self.steps) ** self.power for i in range(self.steps + 1)]


class SSDD(Tokenizer):
    """Images to the means of their posteriors, and back from noise in a few steps or in one."""

    def __init__(self, config: SSDDConfig, sampling: Sampling | None = None) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.sampling = sampling or Sampling()
        own = isinstance(config.encoder, KLEncoderConfig)
        self.encoder = (KLEncoder if own else VAEEncoder)(config.encoder)
        self.decoder = UViT(config.decoder)
        self.multiple = math.lcm(self.encoder.factor, config.decoder.factor)
        self.least = config.decoder.min_side

    def describe(self) -> Description:
        tokens = (self.resolution // self.encoder.factor) ** 2
        dim, steps = self.config.decoder.latent_dim, self.sampling.steps
        return Description(tokens, dim, None, self.size(), steps)

    def check_sides(self, height: int, width: int) -> None:
        super().check_sides(height, width)
        self.decoder.grid((height, width))

    def compile_networks(self, **options: object) -> None:
        compile_each([self.encoder], **options)
        self.decoder.denoise = compiled(self.decoder.denoise, **options)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, latent_dim, H / factor, W / factor)."""
        self.check_images(images)
        return posterior(self.encoder(images.to(self.device))).mean

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, latent_dim, h, w) to images (B, 3, factor h, factor w) in [-1, 1].

        The noise of an image is a function of `seed` and its id (its place in the batch by
        default), not of its neighbours.
        """
        self.check_latents(latents, self.config.decoder.latent_dim, None, None)
        ids, seed = noise_key(latents, ids, seed)
        height, width = (self.encoder.factor * side for side in latents.shape[-2:])
        (noise,) = image_noise(seed, ids, [max(height, width)], self.device)
        noise = noise[:, :, :height, :width]
        return sample(self.decoder, noise, latents.to(self.device), self.sampling).clamp(-1, 1)


class VAEEncoder(nn.Module):
    """The encoder's half of an AutoencoderKL of diffusers: images to moments."""

    def __init__(self, config: klvae.Config) -> None:
        super().__init__()
        vae = klvae.autoencoder(config)
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(images))


def sample(decoder: UViT, x: Tensor, latents: Tensor, sampling: Sampling) -> Tensor:
    """The image as the sampler leaves it, not clamped, from the noise x (B, 3, H, W)."""
    condition = decoder.condition(latents, x.shape[-2:])
    for t, after in pairwise(sampling.times):
        time = torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        x = x + (t - after) * decoder.denoise(x, time, condition)
    return x


def load(config: SSDDConfig, state: Mapping[str, Tensor]) -> SSDD:
    """The tokenizer with the weights of an official file. MsddError if they do not fit."""
    with unfilled():  # no time for initial weights
        tokenizer = SSDD(config)
    return load_strict(tokenizer.to_empty(device="cpu"), state)


def join(state: Mapping[str, Tensor], vae: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The decoder of an SSDD and the encoder of a KL-VAE's state dict, as `load` takes them.

    Whatever else stands in either is passed over: the SD-VAE is not SSDD's to store. MsddError for
    an SSDD that has an encoder of its own, whose latents these are not.
    """
    if OWN_ENCODER in state:
        raise MsddError("holds an SSDD with an encoder of its own, not one that takes an SD-VAE's")
    halves = ("encoder.", "quant_conv.")
    decoder = {name: value for name, value in state.items() if name.startswith("decoder.")}
    vae = klvae.present_names(vae)
    return decoder | {f"encoder.{name}": vae[name] for name in vae if name.startswith(halves)}
