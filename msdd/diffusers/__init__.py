"""A trained model as the autoencoder of a pipeline of diffusers."""

from msdd.diffusers.decoder import Decoder

__all__ = ["Decoder"]
