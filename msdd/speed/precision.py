"""A tokenizer in another arithmetic, for systems without a fast variant of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msdd.device import arithmetic
from msdd.fast.compiling import options, shared_copy
from msdd.tokenizers.tokenizer import Description, Tokenizer


class InPrecision(Tokenizer):
    """A tokenizer whose matrix products are computed in `bf16`, by autocast, or in `fp32`.

    compiled: compile its networks at their first call; on a GPU as CUDA graphs.
    """

    def __init__(self, tokenizer: Tokenizer, precision: str, compiled: bool = False) -> None:
        super().__init__()
        self.tokenizer, self.precision, self.compiled = tokenizer, precision, compiled
        self.resolution, self.multiple = tokenizer.resolution, tokenizer.multiple
        self.codes, self.books, self.apart = tokenizer.codes, tokenizer.books, tokenizer.apart
        if compiled:
            self.tokenizer = shared_copy(tokenizer)
            self.tokenizer.compile_networks(**options(self.device.type == "cuda"))

    @property
    def device(self) -> torch.device:
        return self.tokenizer.device  # which may have no weights

    @property
    def how(self) -> str:
        return "compiled" if self.compiled else "eager"

    def encode(self, images: Tensor) -> Tensor:
        with arithmetic(self.precision, self.device):
            return self.tokenizer.encode(images)

    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        with arithmetic(self.precision, self.device):
            return self.tokenizer.decode(latents, ids, seed)

    def reconstruct(
        self, images: Tensor, ids: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        with arithmetic(self.precision, self.device):
            return self.tokenizer.reconstruct(images, ids, seed)

    def describe(self) -> Description:
        return self.tokenizer.describe()
