"""The base class `Tokenizer`, and its `Description`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor, nn

from msdd.errors import MsddError


class Description(NamedTuple):
    """What a tokenizer costs an image at its `resolution`.

    tokens:      positions of the latent; None where no latent is known.
    dim:         numbers (or bits) in one position; likewise.
    bits:        size of a discrete latent in bits; None for a continuous one.
    parameters:  weights of encoder and decoder; one that serves twice counts once.
    nfe: forward passes of the decoder; both branches of a guided step count; None if not known.
    """

    tokens: int | None
    dim: int | None
    bits: int | None
    parameters: int
    nfe: int | None


class Tokenizer(nn.Module, ABC):
    """Images (B, 3, H, W) in [-1, 1] to latents and back.

    resolution: side of the images it is described at.
    multiple:   what H and W must be multiples of; None if they must be `resolution`.
    least:      the smallest side that it takes.
    codes:      of a discrete latent, how many values an index can have; None for a continuous one.
    books:      codebooks of which a token has an index each, along the last axis of the latents.
    apart:      whether it encodes and decodes apart; else `reconstruct` is all that it has.
    files:      SHA-256 of the files that its weights are from, by name; none for random weights.
    """

    resolution: int
    multiple: int | None = None
    least: int = 1
    codes: int | None = None
    books: int = 1
    apart: bool = True
    files: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Latents of images; indices (integers) for a discrete tokenizer."""

    @abstractmethod
    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        """Images in [-1, 1]. Where decoding draws noise, that of an image is a function of `seed`
        and its id (its place in the batch by default), not of its neighbours."""

    @abstractmethod
    def describe(self) -> Description: ...

    def reconstruct(
        self, images: Tensor, ids: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        """`decode` of `encode`."""
        return self.decode(self.encode(images), ids, seed)

    def compile_networks(self, **options: object) -> None:
        """Compile what does the work, in place; options of `torch.compile`."""
        for network in self.children():
            network.compile(**options)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())

    def check_sides(self, images: Tensor) -> None:
        """MsddError for images of sides that it cannot take."""
        height, width = images.shape[-2:]
        if self.multiple is None and (height, width) != (self.resolution, self.resolution):
            wanted = f"images of {self.resolution}x{self.resolution} px"
        elif self.multiple and (height % self.multiple or width % self.multiple):
            wanted = f"sides that are multiples of {self.multiple} px"
        else:
            return
        name = type(self).__name__
        raise MsddError(f"{name} takes {wanted}, not {width}x{height}; crop or resize them first")
