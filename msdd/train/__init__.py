"""Training: one loop, its state, its losses, and the stages that run it."""
