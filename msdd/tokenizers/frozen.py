"""Encoders of other tokenizers: the half of a tokenizer that makes latents, without its decoder."""

import hashlib
from pathlib import Path

from torch import nn

from msdd.errors import MsddError
from msdd.model.config import FrozenEncoder
from msdd.tokenizers import dito, klvae, ssdd, taef2
from msdd.tokenizers.systems import SYSTEMS
from msdd.tokenizers.tokenizer import Tokenizer

# Of tokenizers with continuous latents on a grid: the modules that `encode` calls.
ENCODERS = {
    taef2.TAEF2: ("encoder",),
    klvae.KLVAE: ("vae.encoder", "vae.quant_conv"),
    ssdd.SSDD: ("encoder",),
    dito.DiTo: ("encoder",),
}
MODULES = {module.__name__.rpartition(".")[2]: module for module in (dito, klvae, ssdd, taef2)}


def encoder_half(tokenizer: Tokenizer, name: str) -> Tokenizer:
    """The tokenizer, in place, without the weights that its `encode` has no need of.

    name: of the tokenizer, for the error. Raises MsddError for a tokenizer whose latents are codes,
    or no grid.
    """
    parts = ENCODERS.get(type(tokenizer))
    if parts is None:
        raise MsddError(
            f"stage1.encoder.tokenizer is {name}, which has no continuous latents on a grid; "
            f"these have: {', '.join(continuous())}, and folders of diffusers"
        )
    for path, module in tokenizer.named_modules():
        if not any(f"{path}.".startswith(f"{part}.") for part in parts):
            bare(module)
    return tokenizer


def continuous() -> list[str]:
    """The systems of the catalogue whose encoders can be used so."""
    return [name for name, system in SYSTEMS.items() if system.family.module in MODULES]


def bare(module: nn.Module) -> None:
    """Take a module's own parameters and buffers away."""
    for named in (module.named_parameters, module.named_buffers):
        for name, _ in list(named(recurse=False)):
            delattr(module, name)


def build(frozen: FrozenEncoder, resolution: int) -> Tokenizer:
    """The encoder with random weights, to be loaded from a model's folder."""
    if frozen.settings is not None:
        made = klvae.KLVAE(frozen.settings, resolution)
    else:
        system = SYSTEMS[frozen.tokenizer]
        module = MODULES[system.family.module]
        made = getattr(module, system.family.kind)(system.config(module))
    return encoder_half(made, frozen.tokenizer)


def settings_of(tokenizer: Tokenizer, name: str) -> dict | None:
    """What `build` needs beside the name: the configuration in a folder of diffusers."""
    own = isinstance(tokenizer, klvae.KLVAE) and name not in SYSTEMS
    return dict(tokenizer.settings) if own else None


def file_of(tokenizer: Tokenizer) -> tuple[str, str]:
    """Name and SHA-256 of the file with the encoder; of several shards, the SHA-256 of the lines
    that `sha256sum` prints of them."""
    names = list(tokenizer.files)
    if len(names) == 1 or isinstance(tokenizer, taef2.TAEF2):  # the encoder's half is the first
        return names[0], tokenizer.files[names[0]]
    lines = "".join(f"{tokenizer.files[name]}  {name}\n" for name in sorted(names))
    return names[0], hashlib.sha256(lines.encode()).hexdigest()


def shown(name: str) -> str:
    """A tokenizer's name as models keep it: of a folder only its last part, as paths differ."""
    return name if name in SYSTEMS else Path(name).name
