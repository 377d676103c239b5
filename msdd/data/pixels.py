"""Images as uint8, and as floats in [-1, 1]: to and from, and the check that they are numbers."""

import torch
from torch import Tensor

from msdd.errors import MsddError


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to 0..255, rounded to the nearest level and clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(images: Tensor) -> Tensor:
    """0..255 to float32 in [-1, 1]; `to_uint8` takes it back exactly."""
    return images.to(torch.float32, copy=True).div_(127.5).sub_(1)


def as_uint8(images: Tensor) -> Tensor:
    """uint8 as they are; floats in [-1, 1] rounded."""
    return images if images.dtype == torch.uint8 else to_uint8(images)


def as_floats(images: Tensor) -> Tensor:
    """uint8 in [-1, 1]; floats as they are."""
    return from_uint8(images) if images.dtype == torch.uint8 else images


def as_unit(images: Tensor) -> Tensor:
    """uint8, or floats in [-1, 1], as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else (images.float() + 1) / 2


def check_finite(values: Tensor, names: list) -> None:
    """MsddError that names the first image of `values` (B, ...) with a NaN or an infinity."""
    bad = ~values.flatten(1).isfinite()
    if bad.any():
        row = int(bad.any(1).nonzero()[0])
        value = values.flatten(1)[row][bad[row]][0].item()
        raise MsddError(f"image {names[row]} contains {value}; the model that made it has diverged")
