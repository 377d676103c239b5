"""Training: one loop, its state, and the two stages."""
