"""`msdd.Tokenizer`: what an object must have to be measured, timed and used as a tokenizer."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Tokenizer(Protocol):
    """Images to latents and back. No base class is needed: two methods make a tokenizer.

    What `msdd.load` returns is one; so is any object of your own with these methods, which
    `msdd.evaluate` and every `--tokenizer module:object` take. `isinstance` looks for the methods
    alone, as Python can see no shapes.

    An attribute `resolution` (pixels a side) says which crops it is given; 256 without it. Where
    latents are discrete, an attribute `codes` says how many values an index can have.
    """

    def encode(self, images: "Tensor", /) -> "Tensor":
        """images: (B, 3, H, W), float32 in [-1, 1], on the tokenizer's device.

        Returns latents (B, ...) of any shape and type; integers where they are discrete.
        """

    def decode(self, latents: "Tensor", /) -> "Tensor":
        """latents: as `encode` made them.

        Returns images (B, 3, H, W): floats in [-1, 1], or levels 0 to 255 as uint8.
        """
