"""Image tokenizers behind `encode`, `decode` and `reconstruct`."""
