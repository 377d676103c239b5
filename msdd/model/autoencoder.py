"""`Autoencoder`, and which encoder and decoder a config means."""

from torch import Tensor, nn

from msdd.model.config import FrozenEncoder, ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.denoiser import Denoiser
from msdd.model.encoder import Encoder
from msdd.model.kl_encoder import KLEncoder, posterior
from msdd.model.uvit_decoder import UViTDecoder


def encoder_of(config: ModelConfig) -> Encoder | KLEncoder:
    """A new encoder: the KL encoder if the configuration has one, else the one with registers."""
    return KLEncoder(config.kl_encoder) if config.kl_encoder else Encoder(config)


def decoder_of(config: ModelConfig) -> Denoiser:
    """A new decoder: the U-ViT if the configuration has one, else the MMDiT."""
    return UViTDecoder(config) if config.uvit else Decoder(config)


def encode(encoder: Encoder | KLEncoder, images: Tensor) -> Tensor:
    """Latents (B, latents, latent_dim) of images (B, 3, R, R) in [-1, 1], in float32.

    Those of a KL encoder are the means of its posteriors.
    """
    output = encoder(images).float()
    return tokens(posterior(output).mean) if isinstance(encoder, KLEncoder) else output


def tokens(latents: Tensor) -> Tensor:
    """Latents on a grid (B, dim, h, w) as tokens (B, h w, dim), row by row."""
    return latents.flatten(2).mT


def standardise(latents: Tensor, frozen: FrozenEncoder) -> Tensor:
    """Latents (B, channels, h, w) of another tokenizer as tokens (B, h w, channels).

    Each channel has mean 0 and deviation 1 over the training crops.
    """
    mean, std = (latents.new_tensor(values)[:, None, None] for values in (frozen.mean, frozen.std))
    return tokens((latents - mean) / std)


class Autoencoder(nn.Module):
    """The teacher: an encoder, and one decoder for all scales, with fresh weights.

    encoder: None where that of another tokenizer has made the latents beforehand.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = None if config.frozen else encoder_of(config)
        self.decoder = decoder_of(config)
