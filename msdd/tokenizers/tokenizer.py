"""The base class `Tokenizer`, and its `Description`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from operator import index
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_map_only

from msdd.errors import MsddError
from msdd.flow.noise import Window

Method = TypeVar("Method", bound=Callable[..., Tensor])
HALF = (torch.float16, torch.bfloat16)


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
    mixes:      whether weights in float16 or bfloat16 meet float32, as noise and times are.
    files:      SHA-256 of the files that its weights are from, by name; none for random weights.
    """

    resolution: int
    multiple: int | None = None
    least: int = 1
    codes: int | None = None
    books: int = 1
    apart: bool = True
    mixes: bool = True
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
        compile_each(self.children(), **options)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """That of its weights, to which images and latents of other floats are cast."""
        floats = (p.dtype for p in self.parameters() if p.is_floating_point())
        return next(floats, torch.float32)

    def encoder_digest(self) -> str | None:
        """What tells its latents from those of other weights, where not all weights make them."""
        return None

    def size(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())

    def check_images(self, images: Tensor) -> None:
        """MsddError unless they are floats (B, 3, H, W), B 1 or more, of sides that it takes."""
        if not isinstance(images, Tensor):
            raise MsddError(f"images are a tensor, not of type {type(images).__name__}")
        whole = images.ndim == 4 and images.shape[1] == 3 and len(images) > 0
        if not whole or not images.is_floating_point():
            raise MsddError(
                f"images {tuple(images.shape)} of {images.dtype}: {type(self).__name__} takes "
                "(B, 3, H, W), B 1 or more, as floats in [-1, 1]"
            )
        self.check_sides(*images.shape[-2:])

    def check_latents(self, latents: Tensor, *shape: int | None) -> None:
        """MsddError unless they are (B, *shape), B 1 or more and None any number, and indices below
        `codes` where it has codes."""
        whole = latents.ndim == 1 + len(shape) and latents.numel() > 0
        sides = zip(latents.shape[1:], shape, strict=whole)
        if not whole or any(wanted not in (None, given) for given, wanted in sides):
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            raise MsddError(
                f"latents {tuple(latents.shape)}: {type(self).__name__} takes (B, {wanted}), B 1 "
                "or more"
            )
        if latents.is_floating_point() != (self.codes is None):
            kind = "floats" if self.codes is None else "integers"
            raise MsddError(f"latents of {latents.dtype}: {type(self).__name__} takes {kind}")
        if self.codes is None or isinstance(latents, FakeTensor):  # which has a shape alone
            return
        low, high = (int(end) for end in latents.long().aminmax())
        if not 0 <= low <= high < self.codes:
            raise MsddError(
                f"latents are indices {low} to {high}; {type(self).__name__} has 0 to "
                f"{self.codes - 1}"
            )

    def check_sides(self, height: int, width: int) -> None:
        """MsddError for images of sides, in pixels, that it cannot take."""
        if self.multiple is None and (height, width) != (self.resolution, self.resolution):
            wanted = f"images of {self.resolution}x{self.resolution} px"
        elif self.multiple and (height % self.multiple or width % self.multiple):
            wanted = f"sides that are multiples of {self.multiple} px"
        else:
            return
        name = type(self).__name__
        raise MsddError(f"{name} takes {wanted}, not {width}x{height}; crop or resize them first")


def without_gradients(function: Method) -> Method:
    """A method of a tokenizer in torch's inference mode, but with a result that others may take
    gradients of, unless the caller is in that mode, too. Floats that it is given become its own
    `dtype`, and where that is a half one, networks compute in it; MsddError for what is no
    tensor."""

    @wraps(function)
    def run(tokenizer: Tokenizer, *values: Any, **named: Any) -> Tensor:
        first = values[0] if values else next(iter(named.values()), None)
        if not isinstance(first, Tensor):
            raise MsddError(f"{function.__name__} takes a tensor, not {type(first).__name__}")
        half = tokenizer.mixes and tokenizer.dtype in HALF
        kind = tokenizer.device.type, tokenizer.dtype
        with torch.inference_mode(), torch.autocast(*kind) if half else nullcontext():
            own = (in_dtype(value, tokenizer.dtype) for value in values)
            named = {name: in_dtype(value, tokenizer.dtype) for name, value in named.items()}
            made = function(tokenizer, *own, **named)
        return made if torch.is_inference_mode_enabled() else made.clone()

    return cast(Method, run)


def compile_each(networks: Iterable[nn.Module], **options: object) -> None:
    """Compile what networks do, in place. torch does not see `nn.Sequential` by its `compile`."""
    for network in networks:
        network.forward = compiled(network.forward, **options)


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`torch.compile`, with copies as results: what a CUDA graph has made, torch (2.13) takes back
    when the next compiled function is called, be it given that or not."""
    run = torch.compile(function, **options)
    return lambda *values, **named: tree_map_only(Tensor, Tensor.clone, run(*values, **named))


def in_dtype(value: Any, dtype: torch.dtype) -> Any:
    """A tensor of floats in this type; anything else as it is."""
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def noise_key(latents: Tensor, ids: Sequence[int] | None, seed: int) -> tuple[Sequence[int], int]:
    """What the noise of latents depends on: an id each, their places by default, and the seed.

    MsddError unless there is an id for each, and all are whole numbers.
    """
    try:
        chosen = range(len(latents)) if ids is None else list(map(whole, ids))
        seed = index(seed)
    except TypeError as error:
        raise MsddError(f"ids and seed must be whole numbers ({error})") from error
    if len(chosen) != len(latents):
        raise MsddError(f"{len(chosen)} ids for {len(latents)} latents; name one for each")
    return chosen, seed


def whole(number: Any) -> Any:
    """An id: a number, or a place in the noise of an image."""
    return number if isinstance(number, Window) else index(number)
