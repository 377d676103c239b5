"""An encoder that is not trained: its weights come from a file and stay frozen."""

from pathlib import Path

from torch import nn

from msdd.errors import MsddError
from msdd.params.sections import Given
from msdd.weights import official
from msdd.weights.strict import load_strict

PREFIX = "encoder."


def load_frozen_encoder(encoder: nn.Module, given: Given, root: Path) -> None:
    """Load the weights of `given.file` (relative to `root`) into the encoder and freeze it.

    Of the file, a stage-1 model or a published file of SSDD, the tensors `encoder.*` are used.
    Raises MsddError if the file is missing, has another digest or does not fit.
    """
    path, state = official.read_pinned(given.file, given.sha256, root, "stage1.encoder")
    own = {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)}
    try:
        load_strict(encoder, own)
    except MsddError as error:
        raise MsddError(f"stage1.encoder.file {path}: {error}") from error
