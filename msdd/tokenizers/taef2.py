"""TAEF2, the tiny autoencoder of FLUX.2's latents (Bohan, github.com/madebyollin/taesd, MIT).

Latents are those of FLUX.2's VAE before any normalisation: 32 channels at 1/8 of the side. Both
halves are plain sequences of convolutions; their parameters are numbered by place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msdd.tokenizers.tokenizer import Description, Tokenizer, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

GROUPS = 4  # of the norm in a block's second branch
HUB_LAYERS = ".layers."  # in the names of the one file on the Hub


@dataclass(frozen=True)
class TAEF2Config:
    """width: channels of all layers; latents: channels of a latent; blocks: at each resolution."""

    width: int = 64
    latents: int = 32
    blocks: int = 3
    halvings: int = 3
    resolution: int = 256


class TAEF2(Tokenizer):
    """Images to latents (B, 32, H / 8, W / 8) and back, without noise.

    resolution: side of the images it is described at; it takes any multiple of 8.
    """

    def __init__(self, config: TAEF2Config) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.multiple = 2**config.halvings
        self.encoder, self.decoder = encoder_of(config), decoder_of(config)

    def describe(self) -> Description:
        tokens = (self.resolution // self.multiple) ** 2
        return Description(tokens, self.config.latents, None, self.size(), nfe=1)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 32, H / 8, W / 8)."""
        self.check_images(images)
        return self.encoder((images.to(self.device) + 1) / 2).float()

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Latents (B, 32, h, w) to images (B, 3, 8 h, 8 w) in [-1, 1]. No noise is drawn."""
        self.check_latents(latents, self.config.latents, None, None)
        return (2 * self.decoder(latents.to(self.device)).float() - 1).clamp(-1, 1)


class Clamp(nn.Module):
    """Soft limits at -3 and 3."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.tanh(x / 3)


class Block(nn.Module):
    """Three convolutions beside a skip path; `pool` adds to their input what groups have in common.

    Only the blocks at the lowest resolution have it.
    """

    def __init__(self, width: int, pool: bool) -> None:
        super().__init__()
        convolutions = [convolution(width, width) for _ in range(3)]
        self.conv = nn.Sequential(*between(convolutions, nn.ReLU))
        self.pool = pooling(width) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(x + self.conv(x))


def between(modules: Sequence[nn.Module], other: type[nn.Module]) -> list[nn.Module]:
    """The modules with an `other` after each but the last."""
    return [part for module in modules for part in (module, other())][:-1]


def pooling(width: int) -> nn.Sequential:
    """1x1 to four times the width and back, normalised over positions between them."""
    wide = 4 * width
    return nn.Sequential(
        nn.Conv2d(width, wide, 1, bias=False),
        nn.GroupNorm(GROUPS, wide),
        nn.ReLU(),
        nn.Conv2d(wide, width, 1, bias=False),
    )


def convolution(width_in: int, width: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(width_in, width, 3, stride, padding=1, bias=bias)


def encoder_of(config: TAEF2Config) -> nn.Sequential:
    """One block at full resolution, then half the side and three blocks, three times."""
    width, last = config.width, config.halvings - 1
    layers: list[nn.Module] = [convolution(3, width), Block(width, pool=False)]
    for level in range(config.halvings):
        layers.append(convolution(width, width, stride=2, bias=False))
        layers += [Block(width, pool=level == last) for _ in range(config.blocks)]
    return nn.Sequential(*layers, convolution(width, config.latents))


def decoder_of(config: TAEF2Config) -> nn.Sequential:
    """Three blocks, then twice the side, three times; one block at full resolution."""
    width = config.width
    layers: list[nn.Module] = [Clamp(), convolution(config.latents, width), nn.ReLU()]
    for level in range(config.halvings):
        layers += [Block(width, pool=level == 0) for _ in range(config.blocks)]
        layers += [nn.Upsample(scale_factor=2), convolution(width, width, bias=False)]
    return nn.Sequential(*layers, Block(width, pool=False), convolution(width, 3))


def load(config: TAEF2Config, state: Mapping[str, Tensor]) -> TAEF2:
    """The tokenizer with the weights of both halves. MsddError if they do not fit.

    state: names begin with `encoder.` and `decoder.`, then the place in the sequence; or with
    `encoder.layers.` and `decoder.layers.`, as in the file on the Hub, where the decoder's places
    do not count its clamp.
    """
    with unfilled():  # no time for initial weights
        tokenizer = TAEF2(config)
    on_hub = any(HUB_LAYERS in name for name in state)
    return load_strict(tokenizer, state, hub_name if on_hub else str)


def hub_name(name: str) -> str:
    """A parameter's name in the file on the Hub."""
    half, place, rest = name.split(".", 2)
    return f"{half}{HUB_LAYERS}{int(place) - (half == 'decoder')}.{rest}"


def join(encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dicts of the encoder's and of the decoder's file as one."""
    halves = {"encoder": encoder, "decoder": decoder}
    return {f"{half}.{name}": state[name] for half, state in halves.items() for name in state}
