"""Encoder and multi-scale decoder together: what stage 1 trains."""

from pathlib import Path

from torch import nn

from msdd.errors import MsddError
from msdd.model import store
from msdd.model.config import ModelConfig
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder


class Autoencoder(nn.Module):
    """The teacher: an encoder, and one decoder for all scales."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)


def load_teacher(folder: Path) -> Autoencoder:
    """The frozen EMA weights of a stage-1 folder, in evaluation mode."""
    kind, config = store.read_config(folder)
    if kind != "teacher":
        raise MsddError(f"{folder}: holds a {kind}, not a stage-1 model")
    model = Autoencoder(config)
    store.load_into(model, folder)
    return model.eval().requires_grad_(False)
