"""Encoder and decoder together, what stage 1 trains: the one place where networks are chosen."""

from torch import Tensor, nn

from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.denoiser import Denoiser
from msdd.model.encoder import Encoder
from msdd.model.kl_encoder import KLEncoder, posterior
from msdd.model.uvit_decoder import UViTDecoder


def encoder_of(config: ModelConfig) -> Encoder | KLEncoder:
    """Registers, or the KL encoder of the shape."""
    return KLEncoder(config.kl_encoder) if config.kl_encoder else Encoder(config)


def decoder_of(config: ModelConfig) -> Denoiser:
    """The MMDiT, or the U-ViT of the shape."""
    return UViTDecoder(config) if config.uvit else Decoder(config)


def encode(encoder: Encoder | KLEncoder, images: Tensor) -> Tensor:
    """Latents (B, latents, latent_dim) in float32; of a KL encoder the means of its posteriors."""
    found = encoder(images).float()
    return tokens(posterior(found).mean) if isinstance(encoder, KLEncoder) else found


def tokens(latents: Tensor) -> Tensor:
    """Latents on a grid (B, dim, h, w) row by row, (B, h w, dim)."""
    return latents.flatten(2).mT


class Autoencoder(nn.Module):
    """The teacher: an encoder, and one decoder for all scales."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder_of(config)
        self.decoder = decoder_of(config)
