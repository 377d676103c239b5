"""What `msdd.load` is given, checked before anything is opened. Imports no torch by itself."""

import re
from collections.abc import Callable, Sequence
from math import inf
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msdd.errors import MsddError, known_names
from msdd.flow.correlation import CORRELATIONS

if TYPE_CHECKING:
    import torch


def of_decode(steps: Any, guidance: Any, jump: Any) -> dict[str, Any]:
    """Those that are given, by name, as plain numbers. MsddError for a value that none takes."""
    if jump is not None and not (isinstance(jump, str) and jump in CORRELATIONS):
        raise MsddError(f"jump is {jump!r:.60}; {known_names(jump, CORRELATIONS)}")
    settings = {
        "steps": numbers("steps", steps, count, "a number, 1 or more"),
        "guidance": numbers("guidance", guidance, finite, "a finite number"),
        "jump": jump,
    }
    return {name: value for name, value in settings.items() if value is not None}


def numbers(name: str, value: Any, number: Callable[[Any], Any], allowed: str) -> Any:
    """What `number` makes of the value, or of each of a list; None if it is not given.

    Raises MsddError where it makes None of one, and for an empty list.
    """
    if value is None:
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    made = [number(one) for one in (value if several else [value])]
    if not made or None in made:
        raise MsddError(f"{name} is {value!r:.60}; it must be {allowed}, or a list, one a scale")
    return made if several else made[0]


def count(value: Any) -> int | None:
    """A whole number of 1 or more; None of anything else."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if whole and value >= 1 else None


def finite(value: Any) -> int | float | None:
    """A finite number; None of anything else."""
    if not isinstance(value, Real) or isinstance(value, bool) or not -inf < value < inf:
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def place(name: str, value: Any) -> str | Path:
    """A text as it is, a path as a `Path`. MsddError for anything else."""
    if not isinstance(value, str | PathLike):
        raise MsddError(f"{name} is {value!r:.60}; it must be a text or a path")
    return value if isinstance(value, str) else Path(value)


def device(name: str, value: "str | torch.device") -> "torch.device":
    """The device. MsddError for one that is not known, and where it cannot be used."""
    import torch

    if not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", str(value)):  # float32 convolutions compute
        raise MsddError(f"{name} {value} is unknown; it may be cpu, cuda, cuda:1, mps or xpu")
    try:
        chosen = torch.device(value)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise MsddError(f"{name} {value} cannot be used: {reason}") from error
    return chosen
