"""An encoder that is not trained: its weights come from a file and stay frozen."""

from pathlib import Path

from torch import nn

from msdd.errors import MsddError
from msdd.files import digest, expand_user
from msdd.params.sections import Given
from msdd.weights import official
from msdd.weights.strict import load_strict

PREFIX = "encoder."


def load_frozen_encoder(encoder: nn.Module, given: Given, root: Path) -> None:
    """Load the weights of `given.file` (relative to `root`) into the encoder and freeze it.

    Of the file, a stage-1 model or a published file of SSDD, the tensors `encoder.*` are used.
    Raises MsddError if the file is missing, has another digest or does not fit.
    """
    path = expand_user(given.file, root)
    if not path.exists():
        raise MsddError(f"stage1.encoder.file: there is no {path}")
    if (sha256 := digest(path)) != given.sha256:
        raise MsddError(f"stage1.encoder.sha256 is {given.sha256}, but {path} has {sha256}")
    state = official.read(path)
    own = {name.removeprefix(PREFIX): state[name] for name in state if name.startswith(PREFIX)}
    try:
        load_strict(encoder, own)
    except MsddError as error:
        raise MsddError(f"stage1.encoder.file {path}: {error}") from error
