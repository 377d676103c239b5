"""What a runtime must keep, in INT8 above all: a student's own images in fp32, at 40 dB."""

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.errors import MsddError

# An independent error at 40 dB takes 0.12 dB from images at 24.4 dB; one at 32.5 dB takes 0.6.
LEAST = 40.0
SAME = 60.0  # of a runtime in fp32, which rounds otherwise: another student is further
IN_FLOAT = ("head", "embed_image", "embed_latents")  # layers, beside norms and what is folded


class RefusedError(MsddError):
    """A runtime's images are not the student's."""


def check(name: str, output: Tensor, expected: Tensor, exact: bool = False) -> float:
    """PSNR in dB of images in [-1, 1] against those in fp32; raises RefusedError below LEAST, or
    below SAME if `exact`.

    One figure for all images, so that none with an error of 0 counts as infinite.
    """
    found, least = psnr(output, expected), SAME if exact else LEAST
    if not found >= least:
        raise RefusedError(
            f"{name}: its images are at {found:.1f} dB of the student's own in fp32, and {least:g} "
            "are needed; use another precision, or the student's own file"
        )
    return found


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB of all images in [-1, 1] together, not rounded to 8 bits; NaN if either has one.

    At most 200, so that it can be written where infinity cannot.
    """
    error = (a.double() - b.double()).square().mean()
    return min(10 * torch.log10(4 / error).item(), 200.0) if error else 200.0


def smooth_images(count: int, side: int, seed: int) -> Tensor:
    """Smooth random images (count, 3, side, side) in [-1, 1], to calibrate and compare on.

    Constant images would run faster on some devices, and white noise is nothing that a network was
    trained on.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
    return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False).clamp(-1, 1)
