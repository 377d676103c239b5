"""TiTok (Yu et al. 2024, arXiv 2406.07550): an image as a short line of indices.

A vision transformer reads the image into latent tokens, another one writes them to a grid of
soft indices of MaskGIT's VQGAN, whose decoder makes the pixels. Written after the published
description and the layout of the official checkpoints (bytedance/1d-tokenizer, Apache-2.0).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.tokenizers.codebook import Codebook, bits
from msdd.tokenizers.maskgit import PixelConfig, PixelDecoder
from msdd.tokenizers.tokenizer import Description, Tokenizer, without_gradients
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled


@dataclass(frozen=True)
class Stack:
    """Size of a transformer; the paper's "small" by default."""

    width: int = 512
    layers: int = 8
    heads: int = 8
    patch: int = 16


@dataclass(frozen=True)
class TiTokConfig:
    """TiTok-S-128, the published tokenizer with 128 tokens for 256 px.

    codes, dim: the codebook of the tokens; `pixels` has one of its own.
    """

    resolution: int = 256
    tokens: int = 128
    codes: int = 4096
    dim: int = 12
    encoder: Stack = Stack()
    decoder: Stack = Stack()
    pixels: PixelConfig = PixelConfig()

    def grid(self, stack: Stack) -> int:
        """Patches along a side of the image."""
        return self.resolution // stack.patch


def vectors(*shape: int) -> nn.Parameter:
    """Learned vectors, of length about 1 at first."""
    return nn.Parameter(nn.init.normal_(torch.empty(shape), std=shape[-1] ** -0.5))


class Block(nn.Module):
    """Attention and a perceptron, each after a LayerNorm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Module()
        self.mlp.c_fc = nn.Linear(width, 4 * width)
        self.mlp.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp.c_proj(F.gelu(self.mlp.c_fc(self.ln_2(x))))


class Transformer(nn.Module):
    """Class token, patches (row by row) and latent tokens as one sequence, all attending to all."""

    def __init__(self, stack: Stack, patches: int, tokens: int) -> None:
        super().__init__()
        width = stack.width
        self.class_embedding = vectors(1, width)
        self.positional_embedding = vectors(1 + patches, width)
        self.latent_token_positional_embedding = vectors(tokens, width)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.ModuleList(Block(width, stack.heads) for _ in range(stack.layers))

    def attend(self, patches: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, width) and (B, N, width) through all layers; not yet `ln_post`."""
        first = self.class_embedding.expand(len(patches), 1, -1)
        image = torch.cat([first, patches], 1) + self.positional_embedding
        x = self.ln_pre(torch.cat([image, latents + self.latent_token_positional_embedding], 1))
        for block in self.transformer:
            x = block(x)
        _, patches, latents = x.split([1, patches.shape[1], latents.shape[1]], 1)
        return patches, latents


class Encoder(Transformer):
    """Images (B, 3, R, R) in [0, 1] and latent tokens (N, width) to features (B, dim, N).

    The official encoder takes its latents (N, width) for (width, N) as they lie in memory, without
    transposing them, and the released weights were trained so.
    """

    def __init__(self, config: TiTokConfig) -> None:
        stack = config.encoder
        super().__init__(stack, config.grid(stack) ** 2, config.tokens)
        self.patch_embed = nn.Conv2d(3, stack.width, stack.patch, stride=stack.patch)
        self.conv_out = nn.Conv2d(stack.width, config.dim, 1)

    def forward(self, images: Tensor, latent_tokens: Tensor) -> Tensor:
        patches = self.patch_embed(images).flatten(2).mT
        _, latents = self.attend(patches, latent_tokens.expand(len(images), -1, -1))
        latents = self.ln_post(latents)
        columns = latents.reshape(latents.mT.shape)
        return self.conv_out(columns[..., None])[..., 0]


class Decoder(Transformer):
    """Unit vectors (B, dim, N) to logits (B, codes of the pixel decoder, grid, grid)."""

    def __init__(self, config: TiTokConfig) -> None:
        stack, grid = config.decoder, config.grid(config.decoder)
        super().__init__(stack, grid**2, config.tokens)
        self.grid = grid
        self.decoder_embed = nn.Linear(config.dim, stack.width)
        self.mask_token = vectors(1, 1, stack.width)
        self.ffn = nn.Sequential(
            nn.Conv2d(stack.width, 2 * stack.width, 1),
            nn.Tanh(),
            nn.Conv2d(2 * stack.width, config.pixels.codes, 1),
        )

    def forward(self, vectors: Tensor) -> Tensor:
        masks = self.mask_token.expand(len(vectors), self.grid**2, -1)
        patches, _ = self.attend(masks, self.decoder_embed(vectors.mT))
        return self.ffn(self.ln_post(patches).mT.unflatten(2, (self.grid, self.grid)))


class TiTok(Tokenizer):
    """Images to `tokens` indices, and back in one pass of transformer and pixel decoder."""

    def __init__(self, config: TiTokConfig) -> None:
        super().__init__()
        self.config, self.resolution = config, config.resolution
        self.latent_tokens = vectors(config.tokens, config.encoder.width)
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.codes = config.codes
        self.quantize = Codebook(config.codes, config.dim)
        self.pixel_quantize = Codebook(config.pixels.codes, config.pixels.dim)
        self.pixel_decoder = PixelDecoder(config.pixels)

    def describe(self) -> Description:
        tokens, dim = self.config.tokens, self.config.dim
        size = bits(tokens, self.config.codes)
        return Description(tokens, dim, size, self.size(), nfe=1)

    @without_gradients
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [-1, 1] to indices (B, tokens), int64."""
        self.check_images(images)
        return self.quantize.nearest(self.features((images.to(self.device) + 1) / 2))

    @without_gradients
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Indices (B, tokens) to images (B, 3, R, R) in [-1, 1]. No noise is drawn."""
        self.check_latents(latents, self.config.tokens)
        logits = self.decoder(self.quantize.vectors(latents.to(self.device)))
        return (2 * self.pixel_decoder(self.soft_codes(logits)).float() - 1).clamp(-1, 1)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, R, R) in [0, 1], the network's own range, to (B, dim, tokens)."""
        return self.encoder(images, self.latent_tokens)

    def soft_codes(self, logits: Tensor) -> Tensor:
        """Logits (B, codes, h, w) to the mean row of the pixel codebook under their softmax."""
        rows = self.pixel_quantize.embedding.weight
        return torch.einsum("bchw,cd->bdhw", logits.softmax(1), rows)


def load(config: TiTokConfig, state: Mapping[str, Tensor]) -> TiTok:
    """The tokenizer with the weights of an official state dict. MsddError if they do not fit."""
    with unfilled():  # no time is lost on initial weights
        tokenizer = TiTok(config)
    return load_strict(tokenizer, state)
