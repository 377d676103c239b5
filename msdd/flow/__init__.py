"""Multi-scale flow matching as pure functions on tensors: scales, path, jump, sampler, noise."""
