"""What `msdd.evaluate` is given, checked before anything is opened."""

from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from msdd.errors import MsddError
from msdd.files import expand_user

OF_TOKENIZERS = {"resolution": None, "precision": "fp32", "seed": 0}  # with their defaults


def check_what(*pairs: tuple[object, object]) -> None:
    """MsddError unless one of the pairs is complete and the others are not given."""
    given = sorted(sum(thing is not None for thing in pair) for pair in pairs)
    if given != [0, 0, 2]:
        raise MsddError(
            "evaluate takes a tokenizer with images, originals with reconstructions, or samples "
            "with a reference"
        )


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """MsddError for a value that is none of those allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise MsddError(f"{name} is {value!r:.60}; it must be {' or '.join(allowed)}")


def whole(name: str, value: Any) -> int:
    """The value as an `int`. MsddError for anything but a whole number."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise MsddError(f"{name} is {value!r:.60}; it must be a whole number")
    return int(value)


def positive(name: str, value: Any) -> int | None:
    """The value as an `int`, or None if it is not given. MsddError for less than 1."""
    if value is None:
        return None
    if whole(name, value) < 1:
        raise MsddError(f"{name} is {value}; it must be 1 or more")
    return int(value)


def check_heard(tokenizer: object, images: object, samples: object, **given: object) -> None:
    """MsddError for an argument that is given and would change nothing of what is measured."""
    unheard: dict[str, object] = {}
    if tokenizer is None:
        what = "originals with reconstructions" if samples is None else "samples"
        unheard = OF_TOKENIZERS
    elif isinstance(images, Tensor):
        what, unheard = "images in memory", {"resolution": None}
    for name, default in unheard.items():
        if given[name] != default:
            raise MsddError(f"{name} means nothing to {what}; leave it out")


def images_of(name: str, given: Any, place: str = "a folder") -> Tensor | Path:
    """A tensor as it is, or a path. MsddError for anything else.

    place: what the path may be of, for the message
    """
    if isinstance(given, Tensor):
        return given
    if isinstance(given, str | PathLike):
        return expand_user(given)
    raise MsddError(
        f"{name} is of type {type(given).__name__}; it must be {place}, or a tensor (N, 3, H, W): "
        "torch.from_numpy makes one of an array, torch.stack one of a list"
    )
