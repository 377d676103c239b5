"""Colour jitter: training images of few photographs in colours and contrasts that these lack."""

import torch
from torch import Tensor


def colour_jitter(images: Tensor, strength: float) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], each blended with a colour of its own, channels in any order.

    strength: s in [0, 1]. Of an image x becomes g x + (1 - g) c, with a contrast g uniform in
              [1 - s, 1] and a colour c uniform in [-1, 1]^3, which keeps it in [-1, 1]. 0 leaves
              images as they are.

    Draws from torch's global generators, on the device of the images.
    """
    if not strength:
        return images
    count, channels = images.shape[:2]
    order = torch.rand(count, channels, device=images.device).argsort(1)
    contrast = 1 - strength * torch.rand(count, 1, 1, 1, device=images.device)
    colour = 2 * torch.rand(count, channels, 1, 1, device=images.device) - 1
    mixed = images.gather(1, order[:, :, None, None].expand_as(images))
    return torch.lerp(colour, mixed, contrast)
