"""The networks: MMDiT, and the encoder and the decoder that are made of it."""
