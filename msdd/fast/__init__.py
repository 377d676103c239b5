"""Decoding fast: times folded into weights, the whole chain as one function, compiled, exported."""
