"""Multi-scale diffusion decoders and their one-step students."""


def __getattr__(name: str):
    """`from msdd import load`, without importing torch before it is asked for."""
    if name == "load":
        from msdd.tokenizers.catalogue import tokenizer

        return tokenizer
    raise AttributeError(f"module 'msdd' has no attribute '{name}'")
