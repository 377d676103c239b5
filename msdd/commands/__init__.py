"""Commands with options of their own: parsers and calls, nothing heavy at import."""
