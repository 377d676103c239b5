"""The images of a batch as protocols see them."""

from torch import Tensor

from msdd.metrics.pixel import from_uint8
from msdd.metrics.quantisation import of_originals, of_reconstructions


class Views:
    """Originals (B, 3, H, W), uint8, and reconstructions, uint8 or floats in [-1, 1], by every rule
    of `msdd.metrics.quantisation`. Each view is made once; equal originals are one tensor."""

    def __init__(self, originals: Tensor, reconstructions: Tensor) -> None:
        self.originals, self.reconstructions = originals, reconstructions
        self.made: dict[tuple[str, str], Tensor] = {}

    def side(self, side: str, levels: str) -> Tensor:
        """The `real` or the `made` images: uint8, or floats in [-1, 1]."""
        if (side, levels) not in self.made:
            rule = of_originals if side == "real" else of_reconstructions
            images = self.originals if side == "real" else self.reconstructions
            self.made[side, levels] = rule(images, levels)
        return self.made[side, levels]

    def pair(self, levels: str) -> tuple[Tensor, Tensor]:
        """Originals and reconstructions."""
        return self.side("real", levels), self.side("made", levels)

    def unit(self, levels: str) -> tuple[Tensor, Tensor]:
        """Both, with floats in [0, 1].

        Beside floats the originals become the floats that a tokenizer is given: an image that comes
        back unchanged has no error."""
        real, made = self.pair(levels)
        if not made.is_floating_point():
            return real, made
        return (from_uint8(real).double() + 1) / 2, (made.double() + 1) / 2
