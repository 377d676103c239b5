"""The networks of encoders and decoders; they know nothing of files or training."""
