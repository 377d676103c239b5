"""How images become 8 bits: the rules of the papers' code, on originals and on reconstructions.

Images are (B, 3, H, W), floats in [-1, 1] or uint8. Truncation takes half a level off every
reconstruction, and where the code brings its originals through floats it also lowers some of
their levels by one: 255 ((u / 127.5 - 1) + 1) / 2 falls just short of many u.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from msdd.data.pixels import from_uint8, to_uint8


def truncate(images: Tensor) -> Tensor:
    """255 (x + 1) / 2 without its fraction."""
    return ((images.float().clamp(-1, 1) + 1) / 2 * 255).to(torch.uint8)


def shift(images: Tensor) -> Tensor:
    """127.5 x + 128 without its fraction: rounding, except at halves and at the very top."""
    return (127.5 * images.float() + 128).clamp(0, 255).to(torch.uint8)


RULES = {
    "round": to_uint8,
    "truncate": truncate,
    "truncate64": truncate,
    "truncate_made": truncate,
    "shift": shift,
}


def quantise_reconstructions(images: Tensor, rule: str) -> Tensor:
    """uint8 by `rule`; floats clamped to [-1, 1] by `none`. uint8 are like originals, so that an
    image that comes back unchanged has no error."""
    if images.dtype == torch.uint8:
        return quantise_originals(images, rule)
    return images.float().clamp(-1, 1) if rule == "none" else RULES[rule](images)


def quantise_originals(images: Tensor, rule: str) -> Tensor:
    """What `rule` makes of uint8 originals that went through floats; the same tensor where that
    changes nothing."""
    table = level_table(rule)
    return images if table is None else table.to(images.device)[images.long()]


@cache
def level_table(rule: str) -> Tensor | None:
    """What the rule makes of each of the 256 levels; None if it keeps them all.

    Originals of `truncate_made` are read as 8 bits. Those of `truncate64` are brought to [-1, 1] by
    NumPy in float64, the others in float32.
    """
    if rule in ("none", "truncate_made"):
        return None
    levels = torch.arange(256, dtype=torch.uint8)
    floats = from_uint8(levels)
    if rule == "truncate64":
        floats = torch.from_numpy((levels.numpy() / 127.5 - 1.0).astype(np.float32))
    made = RULES[rule](floats)
    return None if torch.equal(made, levels) else made


class Views:
    """Originals (B, 3, H, W), uint8, and reconstructions, uint8 or floats in [-1, 1], under every
    rule of `msdd.metrics.quantisation`. Each view is made once; equal originals are one tensor."""

    def __init__(self, originals: Tensor, reconstructions: Tensor) -> None:
        self.originals, self.reconstructions = originals, reconstructions
        self.made: dict[tuple[str, str], Tensor] = {}

    def side(self, side: str, rule: str) -> Tensor:
        """The `real` or the `made` images under a rule: uint8, or floats in [-1, 1]."""
        if (side, rule) not in self.made:
            if side == "real":
                self.made[side, rule] = quantise_originals(self.originals, rule)
            else:
                self.made[side, rule] = quantise_reconstructions(self.reconstructions, rule)
        return self.made[side, rule]

    def pair(self, rule: str) -> tuple[Tensor, Tensor]:
        """Originals and reconstructions."""
        return self.side("real", rule), self.side("made", rule)

    def unit(self, rule: str) -> tuple[Tensor, Tensor]:
        """Both, with floats in [0, 1].

        Beside floats the originals become the floats that a tokenizer is given: an image that comes
        back unchanged has no error."""
        real, made = self.pair(rule)
        if not made.is_floating_point():
            return real, made
        return (from_uint8(real).double() + 1) / 2, (made.double() + 1) / 2
