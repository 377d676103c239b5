"""Where tokens stand, and the 2-D rotary embedding that tells attention so.

Positions are (row, column) pairs in units of the decoder's full-resolution patch grid.
"""

import torch
from torch import Tensor

from msdd.model.config import ModelConfig, near_square

BASE = 10000.0


def rotation(rows: Tensor, columns: Tensor, head: int, base: float = BASE) -> Tensor:
    """Cosine and sine (tokens, head / 2, 2) that turn each channel pair of tokens.

    rows, columns: (tokens,). The first half of a head turns with the row, the second with the
    column; each half has head / 4 pairs of frequency base^(-j / (head / 4)).
    """
    pairs = head // 4
    frequencies = base ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
    angles = torch.cat(
        [rows[:, None].double() * frequencies, columns[:, None].double() * frequencies], dim=1
    )
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()


def rotate(x: Tensor, by: Tensor) -> Tensor:
    """Turn adjacent channel pairs of x (..., tokens, head), in float32 at least."""
    wide = torch.promote_types(x.dtype, torch.float32)
    pairs, by = x.to(wide).unflatten(-1, (-1, 2)), by.to(wide)
    if torch.compiler.is_compiling():  # the compiler fuses this, and generates no complex code
        (a, b), (cosine, sine) = pairs.unbind(-1), by.unbind(-1)
        turned = torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
    else:  # one pass instead of seven
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(by))
    return turned.flatten(-2).to(x.dtype)


def square(side: int, spacing: float, offset: float) -> tuple[Tensor, Tensor]:
    """Rows and columns of a side x side grid in row-major order."""
    axis = torch.arange(side, dtype=torch.float64) * spacing + offset
    return axis.repeat_interleave(side), axis.repeat(side)


def joint_rotation(layout: str, side: int, full: int, latents: int, head: int) -> Tensor:
    """Rotation of the joint sequence: latents first, then side x side image patches.

    layout: `line`, `grid` or `line_paper_code`; side: patches along this image; full: patches
    along the full-resolution image.
    """
    place = _grid if layout == "grid" else _line
    latent, image = place(side, full, latents, head)
    if layout == "line_paper_code":
        # The authors' table of image rotations has lost its imaginary part: their image tokens
        # are scaled by the cosine. Weights trained so need it so.
        image = image * image.new_tensor([1, 0])
    return torch.cat([latent, image])


def _line(side: int, full: int, latents: int, head: int) -> tuple[Tensor, Tensor]:
    """The paper's: the image is cut from the centre of the full grid; the latents stand on a line
    below it, with a base that grows with their number."""
    line = torch.arange(latents, dtype=torch.float64)
    latent = rotation(torch.full_like(line, side), line, head, BASE * latents / side)
    return latent, rotation(*square(side, 1, (full - side) // 2), head)


def _grid(side: int, full: int, latents: int, head: int) -> tuple[Tensor, Tensor]:
    """Everything where it is in the image: token i of n along an axis at (i + 1/2) full/n - 1/2."""
    rows, columns = near_square(latents)
    y = (torch.arange(rows, dtype=torch.float64) + 0.5) * full / rows - 0.5
    x = (torch.arange(columns, dtype=torch.float64) + 0.5) * full / columns - 0.5
    latent = rotation(y.repeat_interleave(columns), x.repeat(rows), head)
    spacing = full / side
    return latent, rotation(*square(side, spacing, spacing / 2 - 0.5), head)


def token_rotation(config: ModelConfig, side: int, patch: int) -> Tensor:
    """`joint_rotation` of a side x side pixel image in patches of `patch` pixels.

    `grid` measures in the decoder's patches, so that both networks agree on where things are;
    `line` in the network's own.
    """
    full = config.resolution // (config.patch if config.positions == "grid" else patch)
    head = config.width // config.heads
    return joint_rotation(config.positions, side // patch, full, config.latents, head)
