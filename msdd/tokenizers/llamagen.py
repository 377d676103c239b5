"""LlamaGen's image tokenizer (Sun et al. 2024, arXiv 2406.06525): VQGAN with unit vectors.

Written after the published description and the layout of the official checkpoints
(FoundationVision/LlamaGen, MIT). Its networks are those of `vqgan` under other names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from msdd.model import vqgan
from msdd.tokenizers.codebook import Codebook, bits
from msdd.tokenizers.tokenizer import Description, Tokenizer, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

RENAMES = [
    (r"^encoder\.down\.", "encoder.conv_blocks."),
    (r"\.block\.(\d+)\.", r".res.\1."),
    (r"\.mid\.block_1\.", ".mid.0."),
    (r"\.mid\.attn_1\.", ".mid.1."),
    (r"\.mid\.block_2\.", ".mid.2."),
]


@dataclass(frozen=True)
class LlamaGenConfig:
    """VQ-16, the published tokenizer with 16 x 16 tokens at 256 px.

    encoder, decoder: width of each level, highest resolution first, as a multiple of `width`.
    blocks:           residual blocks in a level of the encoder; the decoder has one more.
    resolution:       side of the images it is described at; it takes other sides too.
    """

    resolution: int = 256
    width: int = 128
    encoder: tuple[int, ...] = (1, 1, 2, 2, 4)
    decoder: tuple[int, ...] = (1, 1, 2, 2, 4)
    blocks: int = 2
    z_channels: int = 256
    codes: int = 16384
    dim: int = 8


class LlamaGen(Tokenizer):
    """Images to one of `codes` indices a patch, and back in one pass."""

    def __init__(self, config: LlamaGenConfig) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.multiple = 2 ** (len(config.encoder) - 1)
        self.encoder = vqgan.Encoder(
            3,
            config.width,
            config.encoder,
            config.blocks,
            config.z_channels,
            attention=[len(config.encoder) - 1],
        )
        self.quant_conv = nn.Conv2d(config.z_channels, config.dim, 1)
        self.codes = config.codes
        self.quantize = Codebook(config.codes, config.dim)
        self.post_quant_conv = nn.Conv2d(config.dim, config.z_channels, 1)
        self.decoder = vqgan.Decoder(
            config.z_channels,
            config.width,
            config.decoder,
            config.blocks + 1,
            3,
            attention=[len(config.decoder) - 1],
        )

    def describe(self) -> Description:
        tokens = (self.resolution // self.multiple) ** 2
        size = bits(tokens, self.config.codes)
        return Description(tokens, self.config.dim, size, self.size(), nfe=1)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to indices (B, H / f, W / f), int64; f = `multiple`."""
        self.check_images(images)
        return self.quantize.nearest(self.quant_conv(self.encoder(images.to(self.device))))

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Indices (B, h, w) to images (B, 3, f h, f w) in [-1, 1]. No noise is drawn."""
        self.check_latents(latents, None, None)
        vectors = self.quantize.vectors(latents.to(self.device))
        return self.pixels(vectors).float().clamp(-1, 1)

    def pixels(self, vectors: Tensor) -> Tensor:
        """Unit vectors (B, dim, h, w) to images as the network gives them, unclamped."""
        return self.decoder(self.post_quant_conv(vectors))


def load(config: LlamaGenConfig, state: Mapping[str, Tensor]) -> LlamaGen:
    """The tokenizer with the weights of an official state dict. MsddError if they do not fit.

    `quantize.codebook_used`, a training statistic, is passed over.
    """
    state = {name: value for name, value in state.items() if name != "quantize.codebook_used"}
    official = partial(official_name, levels=len(config.decoder))
    with unfilled():  # no time is lost on initial weights
        tokenizer = LlamaGen(config)
    return load_strict(tokenizer, state, official)


def official_name(name: str, levels: int) -> str:
    """A parameter's name in the official checkpoints; their decoder counts levels as they run."""
    name = re.sub(
        r"^decoder\.up\.(\d+)\.", lambda m: f"decoder.conv_blocks.{levels - 1 - int(m[1])}.", name
    )
    for ours, theirs in RENAMES:
        name = re.sub(ours, theirs, name)
    return name
