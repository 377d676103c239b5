"""Multi-scale diffusion decoders and their one-step students.

`load` opens a tokenizer, `Fast` makes it fast, `evaluate` measures it; `Tokenizer` is the protocol
that an object of your own may satisfy (docs/python.md). `MsddError` is raised for what you can fix.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from msdd.version import __version__ as __version__

if TYPE_CHECKING:
    from msdd.errors import MsddError
    from msdd.evaluate.function import evaluate
    from msdd.fast.tokenizer import Fast
    from msdd.tokenizers.catalogue import load
    from msdd.tokenizers.protocol import Tokenizer

__all__ = ["Fast", "MsddError", "Tokenizer", "evaluate", "load"]

_PLACES = {
    "Fast": ("msdd.fast.tokenizer", "Fast"),
    "MsddError": ("msdd.errors", "MsddError"),
    "Tokenizer": ("msdd.tokenizers.protocol", "Tokenizer"),
    "load": ("msdd.tokenizers.catalogue", "load"),
}


def __getattr__(name: str) -> object:
    """Without importing torch before one of them is asked for."""
    if name == "evaluate":
        return import_module("msdd.evaluate")
    if name not in _PLACES:
        raise AttributeError(f"module 'msdd' has no attribute '{name}'")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
