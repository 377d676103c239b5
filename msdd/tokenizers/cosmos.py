"""Cosmos DI: NVIDIA's discrete image tokenizer (Cosmos, 2025, arXiv 2501.03575).

VQGAN's networks between a Haar transform and its inverse, with finite scalar quantisation.
Written after the published description and the layout of the official checkpoints
(NVIDIA/Cosmos-Tokenizer; code Apache-2.0, weights under the NVIDIA Open Model License).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from msdd.model import vqgan
from msdd.tokenizers import fsq
from msdd.tokenizers.codebook import bits
from msdd.tokenizers.haar import haar, inverse_haar
from msdd.tokenizers.tokenizer import Description, Tokenizer, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled


@dataclass(frozen=True)
class CosmosConfig:
    """DI16x16, the published tokenizer.

    resolution:  side of the images it is described at; it takes other sides too.
    multipliers: width of each level, highest resolution first, as a multiple of `width`.
    blocks:      residual blocks in a level of the encoder; the decoder has one more.
    levels:      of the quantisation, one a channel of the latent.
    compression: side of the images over the side of the latent; `patch` of it is the Haar
                 transform, the rest the networks.
    attention:   sides at which blocks are followed by attention, counted from images of side
                 `nominal`. As published there is none but the middle one.
    """

    resolution: int = 256
    width: int = 128
    multipliers: tuple[int, ...] = (2, 4, 4)
    blocks: int = 2
    z_channels: int = 256
    levels: tuple[int, ...] = (8, 8, 8, 5, 5, 5)
    compression: int = 16
    patch: int = 4
    attention: tuple[int, ...] = (32,)
    nominal: int = 1024

    @property
    def halvings(self) -> int:
        """Levels of the networks that change the resolution."""
        return int(math.log2(self.compression // self.patch))

    def encoder_attention(self) -> list[int]:
        """Levels of the encoder with attention: the first ones halve the side."""
        side = self.nominal // self.patch
        return self._attending([side >> min(i, self.halvings) for i in self._numbers()])

    def decoder_attention(self) -> list[int]:
        """Levels of the decoder with attention: the last ones double the side."""
        last = len(self.multipliers) - 1
        side = self.nominal // self.patch >> last
        return self._attending([side << min(last - i, self.halvings) for i in self._numbers()])

    def _numbers(self) -> range:
        return range(len(self.multipliers))

    def _attending(self, sides: list[int]) -> list[int]:
        return [i for i, side in enumerate(sides) if side in self.attention]


class Cosmos(Tokenizer):
    """Images to one index a patch, and back in one pass."""

    def __init__(self, config: CosmosConfig) -> None:
        super().__init__()
        self.config, self.resolution, self.multiple = config, config.resolution, config.compression
        self.splits = int(math.log2(config.patch))
        shape = (config.width, config.multipliers)
        self.codes = math.prod(config.levels)
        channels, dim = 3 * config.patch**2, len(config.levels)
        self.encoder = vqgan.Encoder(
            channels,
            *shape,
            config.blocks,
            config.z_channels,
            config.encoder_attention(),
            config.halvings,
        )
        self.quant_conv = nn.Conv2d(config.z_channels, dim, 1)
        self.post_quant_conv = nn.Conv2d(dim, config.z_channels, 1)
        self.decoder = vqgan.Decoder(
            config.z_channels,
            *shape,
            config.blocks + 1,
            channels,
            config.decoder_attention(),
            config.halvings,
        )

    def describe(self) -> Description:
        levels = self.config.levels
        tokens = (self.resolution // self.multiple) ** 2
        size = bits(tokens, self.codes)
        return Description(tokens, len(levels), size, self.size(), nfe=1)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to indices (B, H / f, W / f), int32; f = `multiple`."""
        self.check_images(images)
        return fsq.quantise(self.features(images.to(self.device)), self.config.levels)

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Indices (B, h, w) to images (B, 3, f h, f w) in [-1, 1]. No noise is drawn."""
        self.check_latents(latents, None, None)
        codes = fsq.codes(latents.to(self.device), self.config.levels).to(self.dtype)
        return self.pixels(codes).float().clamp(-1, 1)

    def features(self, images: Tensor) -> Tensor:
        """Images to what is quantised, (B, channels of the latent, h, w)."""
        return self.quant_conv(self.encoder(haar(images, self.splits)))

    def pixels(self, codes: Tensor) -> Tensor:
        """Codes (B, channels, h, w) to images as the network gives them, unclamped."""
        return inverse_haar(self.decoder(self.post_quant_conv(codes)), self.splits)


def load(config: CosmosConfig, state: Mapping[str, Tensor]) -> Cosmos:
    """The tokenizer with the weights of an official state dict. MsddError if they do not fit.

    The levels are no part of it: from the released files use `cosmos_archives.load`, which
    compares them.
    """
    with unfilled():  # no time is lost on initial weights
        tokenizer = Cosmos(config)
    return load_strict(tokenizer, state)
