"""Images to patches and back: reshapes, no convolution."""

from torch import Tensor


def patchify(x: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, H/p * W/p, p * p * C), each patch flattened (row, column, channel)."""
    b, c, h, w = x.shape
    x = x.view(b, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, -1, patch * patch * c)


def unpatchify(tokens: Tensor, patch: int, height: int) -> Tensor:
    """Tokens (B, H/p * W/p, p * p * C) as images (B, C, H, W), the inverse of `patchify`."""
    b, rows = tokens.shape[0], height // patch
    x = tokens.view(b, rows, -1, patch, patch, tokens.shape[-1] // patch**2)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(b, x.shape[-1], height, -1)
