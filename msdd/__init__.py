"""Multi-scale diffusion decoders and their one-step students.

`load` opens a tokenizer, `Fast` makes it fast.
"""

from msdd.version import __version__ as __version__


def __getattr__(name: str):
    """Without importing torch before one of them is asked for."""
    if name == "load":
        from msdd.tokenizers.catalogue import tokenizer

        return tokenizer
    if name == "Fast":
        from msdd.fast.tokenizer import Fast

        return Fast
    raise AttributeError(f"module 'msdd' has no attribute '{name}'")
