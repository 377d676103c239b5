"""What tells the weights of a part of a model from others."""

import hashlib

import torch
from torch import nn


def weight_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all that a module would save."""
    sha = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return sha.hexdigest()
