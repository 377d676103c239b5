"""Converts state dicts of the MSDD authors' code to our names and layout."""

import re

import torch
from torch import Tensor

from msdd.errors import MsddError

# Parts that the authors' encoder contains and never uses: it has no time and no context input.
# `quant_conv` repeats the encoder's final layer, whose shift and scale stay zero.
IDLE = re.compile(
    r"encoder\.(t_embedder|context_embedder)\..*|quant_conv\..*|encoder\.(.*\.)?(shift|scale)"
)

RENAMES = [
    (r"joint_blocks\.(\d+)\.context_block\.", r"blocks.\1.latents."),
    (r"joint_blocks\.(\d+)\.x_block\.", r"blocks.\1.image."),
    (r"attn\.ln_([qk])\.", r"norm_\1."),
    (r"attn\.(qkv|proj)\.", r"\1."),
    (r"final_layer\.linear\.", "head."),
    (r"final_layer\.adaLN_modulation\.1\.", "adaln."),
    (r"adaLN_modulation\.1\.", "adaln."),
    (r"x_embedder\.proj\.", "embed_image."),
    (r"context_embedder\.", "embed_latents."),
    (r"context_null", "null"),
    (r"t_embedder\.mlp\.", "embed_time."),
    (r"encoder\.register$", "encoder.registers"),
]


def from_authors(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A flat state dict of the authors' model under our names, and the unused names left out.

    The result has names `encoder.*` and `decoder.*`, for a model with `time_scale` 1 and positions
    `line_paper_code`. Raises MsddError if a shift or scale of the encoder is not zero, because this
    encoder has none.
    """
    dropped = [name for name in state if IDLE.fullmatch(name)]
    for name in dropped:
        if name.startswith("encoder.") and name.endswith(("shift", "scale")) and state[name].any():
            raise MsddError(f"{name} is not zero: the encoder has no modulation")
    tensors = {_rename(name): _reshape(name, state[name]) for name in state if name not in dropped}
    return tensors, dropped


def _rename(name: str) -> str:
    for pattern, replacement in RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _reshape(name: str, value: Tensor) -> Tensor:
    """A patch convolution (width, 3, p, p) as a matrix for patches (row, column, channel)."""
    if not name.endswith("x_embedder.proj.weight"):
        return value
    return value.permute(0, 2, 3, 1).flatten(1).contiguous().to(torch.float32)
