"""`Own`: a function or an object of the user's as a tokenizer."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from inspect import getattr_static
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor, nn

from msdd.data.pixels import as_floats
from msdd.device import seed_torch
from msdd.errors import MsddError
from msdd.seeds import seed_of
from msdd.tokenizers.codebook import bits
from msdd.tokenizers.tokenizer import Description, Tokenizer, compiled
from msdd.tokenizers.user_code import import_object, raise_failed

RESOLUTION = 256  # of what does not tell its own
FAR = 1.5  # beyond the range [-1, 1], but for decoders that overshoot
CLEARLY = 4  # times smaller is an error that tells one range from another


class Own(Tokenizer):
    """What `module:object` names: a function from images to images, both (B, 3, H, W) in [-1, 1];
    or an object with `encode` and `decode`, of which `reconstruct` is the one after the other.

    Torch modules, the object itself or among its attributes, are moved to the device and set to
    eval mode. An object that can be called is, even if it has `encode` and `decode` as well.
    Whatever the user's code raises or returns in a wrong form is an MsddError of one line.
    """

    multiple = 1

    def __init__(self, name: str, thing: object, device: torch.device) -> None:
        super().__init__()
        check_kind(name, thing)
        self.networks = nn.ModuleList(networks_of(thing)).to(device).eval()
        self.name, self.on, self.thing = name, device, thing
        self.resolution = count(name, thing, "resolution") or RESOLUTION
        self.codes = count(name, thing, "codes")
        self.apart = not missing_halves(thing)
        self.whole: Callable[[object], object] = thing  # what is called in place of its halves
        self.halves = {half: getattr(thing, half, None) for half in HALVES}

    @property
    def device(self) -> torch.device:
        return self.on

    def encode(self, images: Tensor) -> Tensor:
        made = self.run(self.half("encode"), images.to(self.on))
        if not isinstance(made, Tensor) or made.ndim < 2 or len(made) != len(images):
            raise MsddError(
                f"{self.name}.encode returned {form(made)} for {len(images)} images; it must be "
                f"one tensor ({len(images)}, ...)"
            )
        return made.detach().to(self.on)

    def decode(self, latents: Tensor, ids: Sequence[int] | None = None, seed: int = 0) -> Tensor:
        with seed_torch(seed_of_batch(ids, seed), self.on):
            made = self.run(self.half("decode"), latents.to(self.on))
        return as_floats(self.images_in(made, (len(latents), 3, None, None)))

    def reconstruct(
        self, images: Tensor, ids: Sequence[int] | None = None, seed: int = 0
    ) -> Tensor:
        with seed_torch(seed_of_batch(ids, seed), self.on):
            return as_floats(self.remake(images))

    def remake(self, images: Tensor) -> Tensor:
        """Reconstructions of images as float32, or as levels 0 to 255 in uint8."""
        return self.code(images)[1]

    def code(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        """Latents of images, if they are one tensor, and the reconstructions as above."""
        latents, images = None, images.to(self.on)
        if is_called(self.thing):
            made = self.run(self.whole, images)
        else:
            latents = self.run(self.half("encode"), images)
            made = self.run(self.half("decode"), latents)
        made = self.images_in(made, tuple(images.shape))
        warn_of_range(self.name, images, made)
        return (latents.detach() if is_latent(latents, len(images)) else None), made

    def half(self, which: str) -> Callable[[object], object]:
        if not callable(self.halves[which]):
            raise without(self.name, which)
        return self.halves[which]

    def compile_networks(self, **options: object) -> None:
        """Compile the user's functions, whatever networks these call, and in whatever way."""
        if is_called(self.thing):
            del self.whole  # a module, maybe, which no function may replace
            self.whole = compiled(self.thing, **options)
        for which, half in self.halves.items():
            if callable(half):
                self.halves[which] = compiled(half, **options)

    def run(self, function: Callable[[object], object], given: object) -> object:
        """Call the user's code, which may change what it is given, and take gradients inside."""
        try:
            with torch.inference_mode(False), torch.no_grad():
                return function(given.clone() if isinstance(given, Tensor) else given)
        except BaseException as error:
            raise_failed(f"tokenizer {self.name} failed", error)

    def images_in(self, made: object, shape: tuple[int | None, ...]) -> Tensor:
        """The images in what came back; None in `shape` is any size. MsddError says what else."""
        made = made.sample if isinstance(getattr(made, "sample", None), Tensor) else made
        made = tensor_of(made) if is_array(made) else made
        if not isinstance(made, Tensor):
            raise MsddError(f"{self.name} returned {form(made)}; {WANTED}")
        if made.ndim != 4 or any(
            b not in (a, None) for a, b in zip(made.shape, shape, strict=True)
        ):
            last = made.ndim == 4 and made.shape[-1] == 3 and made.shape[1] != 3
            hint = "its channels are last: permute(0, 3, 1, 2)" if last else WANTED
            raise MsddError(f"{self.name} returned {form(made)} of images {size(shape)}; {hint}")
        if not made.is_floating_point() and made.dtype != torch.uint8:
            raise MsddError(
                f"{self.name} returned {made.dtype}; it must return floats in [-1, 1], or levels 0 "
                "to 255 as torch.uint8"
            )
        if made.is_meta or made.is_sparse:
            raise MsddError(
                f"{self.name} returned a tensor without pixels ({made.device}, {made.layout})"
            )
        made = made.detach().to(self.on)
        return made if made.dtype == torch.uint8 else made.float()

    def describe(self) -> Description:
        """With the weights of `networks`; those of any other code are not seen. Each integer of a
        latent is a token. Of a function no latent is known, and not how often it decodes."""
        if not self.apart:
            return Description(None, None, None, self.size(), None)
        black = -torch.ones(1, 3, self.resolution, self.resolution, device=self.on)
        latents, size = self.encode(black)[0], self.size()
        if not latents.is_floating_point():
            tokens = latents.numel()
            return Description(tokens, 1, self.codes and bits(tokens, self.codes), size, 1)
        channels = latents.shape[0] if latents.ndim == 3 else latents.shape[-1]
        return Description(latents.numel() // channels, channels, None, size, 1)


WANTED = "it must return images as one tensor (B, 3, H, W), like those it is given"


def seed_of_batch(ids: Sequence[int] | None, seed: int) -> int:
    """Of the numbers that the user's code draws: a batch is told apart by its first image."""
    return seed if ids is None else seed_of("batch", seed, ids[0])


def open_own(name: str, device: str | torch.device) -> Own:
    """What `module:object` names, as a tokenizer on the device."""
    return Own(name, import_object(name), torch.device(device))


def check_kind(name: str, thing: object) -> None:
    """MsddError for what cannot make images of images."""
    if isinstance(thing, type):
        module, of_file, attribute = name.partition(":")
        if not of_file:
            raise MsddError(f"tokenizer {name} is a class; give an instance, as in {name}()")
        raise MsddError(
            f"tokenizer {name} is a class; make an instance in that file, as in `tokenizer = "
            f"{attribute}()`, and name it: {module}:tokenizer"
        )
    missing = missing_halves(thing)
    if is_called(thing) or not missing:
        return
    if missing == ["decode"] and not isinstance(thing, str):  # a text can be encoded
        raise without(name, "decode")
    raise MsddError(
        f"tokenizer {name} is no function of images and has no encode and decode, but is of type "
        f"{type(thing).__name__}"
    )


def count(name: str, thing: object, attribute: str) -> int | None:
    """An attribute that is a whole number above 0; None without it, and where it is no number, as
    of a codebook that is called so. MsddError for other numbers."""
    value = getattr(thing, attribute, None)
    if not isinstance(value, Real):
        return None
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise MsddError(f"{name}: {attribute} is {value!r:.60}; it must be a whole number above 0")
    return int(value)


def missing_halves(thing: object) -> list[str]:
    return [half for half in HALVES if not callable(getattr(thing, half, None))]


def without(name: str, half: str) -> MsddError:
    return MsddError(
        f"tokenizer {name} has no {half}; name an object that has both encode and decode"
    )


def networks_of(thing: object) -> list[nn.Module]:
    parts = [thing, *getattr(thing, "__dict__", {}).values()]
    return [part for part in parts if isinstance(part, nn.Module)]


def device_of(thing: object) -> torch.device | None:
    """The device of the first parameter of its networks; None without one."""
    parameters = (one for network in networks_of(thing) for one in network.parameters())
    first = next(parameters, None)
    return None if first is None else first.device


@contextmanager
def modes_kept(thing: object) -> Iterator[None]:
    """A block after which all its networks, and all parts of them, train or not as before."""
    parts = [part for network in networks_of(thing) for part in network.modules()]
    before = [(part, part.training) for part in parts if hasattr(part, "training")]  # not if frozen
    try:
        yield
    finally:
        for part, training in before:
            if part.training != training:
                part.train(training)  # which may do more than set the flag
        for part, training in before:  # a module sets those of its parts
            part.training = training


HALVES = ("encode", "decode")
NO_FORWARD = nn.Module.forward


def is_called(thing: object) -> bool:
    """A torch module without a `forward` of its own cannot be, be it compiled or not."""
    module = getattr(thing, "_orig_mod", thing)
    of_class = getattr_static(type(module), "forward", None)
    forward = getattr(module, "__dict__", {}).get("forward", of_class)
    return callable(thing) and not (isinstance(module, nn.Module) and forward is NO_FORWARD)


def is_latent(made: object, images: int) -> bool:
    """Whether it is one tensor with numbers for each image."""
    dense = isinstance(made, Tensor) and made.layout == torch.strided and not made.is_meta
    return dense and made.ndim > 1 and len(made) == images and made.numel() > 0


def is_array(made: object) -> bool:
    return isinstance(made, np.ndarray) and made.dtype.kind in "fiu"


def tensor_of(array: np.ndarray) -> Tensor:
    """Of an array in any order and of any width, which torch does not take by itself."""
    kind = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, kind, order="C"))


def form(made: object) -> str:
    """What something is, for a message: shape and type of a tensor, length and type of a list."""
    if isinstance(made, Tensor | np.ndarray):
        return f"{size(tuple(made.shape))} of {made.dtype}"
    if made is None:
        return "None (is a `return` missing?)"
    if isinstance(made, list | tuple | dict):
        items = made.values() if isinstance(made, dict) else made
        kinds = ", ".join(dict.fromkeys(type(item).__name__ for item in items))
        return f"a {type(made).__name__} of {len(made)} ({kinds})"
    return f"an object of type {type(made).__name__}"


def size(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if side is None else str(side) for side in shape) + ")"


def warn_of_range(name: str, images: Tensor, made: Tensor) -> None:
    """Once, if reconstructions fit their images far better when read in another range.

    A dark or a white picture that is reconstructed as such fits as it is.
    """
    if made.dtype == torch.uint8:
        if made.max() <= 1 and images.max() > 0:
            warn(f"{name} seems to return values in [0, 1] as uint8, where 0 to 255 are expected")
        return
    far = (made.abs() > FAR).any()
    others = {"[0, 1]": 2 * made - 1} | ({"[0, 255]": made / 127.5 - 1} if far else {})
    errors = {scale: mean_square(other, images) for scale, other in others.items()}
    best = min(errors, key=errors.get)
    if errors[best] * CLEARLY < mean_square(made, images):
        warn(f"{name} seems to return values in {best}, where [-1, 1] are expected")
    elif far:
        warn(f"{name} makes values far outside [-1, 1], the range that is expected: cut off")


def warn_of_range_alone(name: str, images: Tensor) -> None:
    """Warn of a set in another range when there is nothing to compare it with, by its extremes.

    A set of one colour fits as it is; hardly any other has no pixel darker than mid-grey.
    """
    low, high = images.min().item(), images.max().item()
    if low == high:
        return
    if images.dtype == torch.uint8:
        if high <= 1:
            warn(f"{name} seem to be in [0, 1] as uint8, where 0 to 255 are expected")
    elif low >= 0:
        scale = "[0, 255]" if high > FAR else "[0, 1]"
        warn(f"{name} seem to be in {scale}, where [-1, 1] are expected")
    elif max(-low, high) > FAR:
        warn(f"{name} have values far outside [-1, 1], the range that is expected: cut off")


def mean_square(a: Tensor, b: Tensor) -> float:
    return (a - b).square().mean().item()


@cache
def warn(text: str) -> None:
    """Once an evaluation."""
    print(f"msdd: warning: {text}", file=sys.stderr)
