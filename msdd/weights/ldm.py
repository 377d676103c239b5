"""KL-VAEs in the layout of latent diffusion (Rombach et al. 2022), under the names of diffusers.

Stable Diffusion's single files have it: `vae-ft-mse-840000-ema-pruned`, and as
`first_stage_model.` every whole model. Its decoder counts levels from the highest resolution, which
runs last, and its attention has 1x1 convolutions where diffusers has matrices.
"""

import re
from collections.abc import Mapping

from torch import Tensor

TELLTALE = "encoder.down.0.block.0.norm1.weight"

RENAMES = [
    (r"^encoder\.down\.(\d+)\.", r"encoder.down_blocks.\1."),
    (r"\.block\.(\d+)\.", r".resnets.\1."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.(down|up)sample\.conv\.", r".\1samplers.0.conv."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.", ".mid_block.attentions.0."),
    (r"\.attentions\.0\.norm\.", ".attentions.0.group_norm."),
    (r"\.attentions\.0\.([qkv])\.", r".attentions.0.to_\1."),
    (r"\.attentions\.0\.proj_out\.", ".attentions.0.to_out.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
]
MATRIX = re.compile(r".+\.attentions\.0\.to_(q|k|v|out\.0)\.weight")


def to_diffusers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of latent diffusion's AutoencoderKL as one of diffusers' AutoencoderKL."""
    levels = {int(m[1]) for name in state if (m := re.match(r"decoder\.up\.(\d+)\.", name))}
    last = max(levels, default=0)
    renamed = {diffusers_name(name, last): value for name, value in state.items()}
    return {
        name: value.flatten(1) if MATRIX.fullmatch(name) else value
        for name, value in renamed.items()
    }


def diffusers_name(name: str, last: int) -> str:
    """A tensor's name in diffusers; `last` is the number of the decoder's last level."""
    name = re.sub(
        r"^decoder\.up\.(\d+)\.", lambda m: f"decoder.up_blocks.{last - int(m[1])}.", name
    )
    for theirs, present in RENAMES:
        name = re.sub(theirs, present, name)
    return name
