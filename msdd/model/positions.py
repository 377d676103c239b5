"""Positions of tokens, and the 2-D rotary embedding (RoPE) that attention sees them by.

Positions are (row, column) pairs in units of the decoder's full-resolution patch grid.
"""

import torch
from torch import Tensor

from msdd.model.config import ModelConfig, near_square

BASE = 10000.0


def rotation(rows: Tensor, columns: Tensor, head: int, base: float = BASE) -> Tensor:
    """Cosine and sine (tokens, head / 2, 2) of the angles that turn channel pairs of tokens.

    rows, columns: positions (tokens,). head: channels of an attention head, a multiple of 4. The
    first half of a head turns with the row, the second with the column; pair j of the head / 4
    pairs in each half has the frequency base^(-j / (head / 4)).
    """
    pairs = head // 4
    frequencies = base ** -(count(pairs) / pairs)
    angles = torch.cat(
        [rows[:, None].double() * frequencies, columns[:, None].double() * frequencies], dim=1
    )
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Queries or keys x (..., tokens, head) with adjacent channel pairs turned, in x's type.

    rotation: cosine and sine (tokens, head / 2, 2). Computed in float32 at least.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    pairs, rotation = x.to(wide).unflatten(-1, (-1, 2)), rotation.to(wide)
    if torch.compiler.is_compiling():  # the compiler fuses this, and generates no complex code
        (a, b), (cosine, sine) = pairs.unbind(-1), rotation.unbind(-1)
        turned = torch.stack([a * cosine - b * sine, a * sine + b * cosine], dim=-1)
    else:  # one pass instead of seven
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(rotation))
    return turned.flatten(-2).to(x.dtype)


def count(numbers: int) -> Tensor:
    """0, 1, 2, ... (numbers,) in float64, on the CPU.

    Also for a network on `meta`, where `torch.arange` would import torch's compiler.
    """
    return torch.arange(numbers, dtype=torch.float64, device="cpu")


def square(side: int, spacing: float, offset: float) -> tuple[Tensor, Tensor]:
    """Rows and columns (side * side,) of a square grid in row-major order."""
    axis = count(side) * spacing + offset
    return axis.repeat_interleave(side), axis.repeat(side)


def joint_rotation(layout: str, side: int, full: int, latents: int, head: int) -> Tensor:
    """Rotation (latents + side * side, head / 2, 2) of latents and, after them, image patches.

    layout: `line`, `grid` or `line_paper_code`.
    side:   patches along a side of this image. full: along a side of the full-resolution image.
    head:   channels of an attention head.
    """
    place = _grid if layout == "grid" else _line
    latent, image = place(side, full, latents, head)
    if layout == "line_paper_code":
        # The authors' table of image rotations has lost its imaginary part: their image tokens
        # are scaled by the cosine. Weights that were trained with it need it.
        image = image * image.new_tensor([1, 0])
    return torch.cat([latent, image])


def _line(side: int, full: int, latents: int, head: int) -> tuple[Tensor, Tensor]:
    """The paper's positions: patches at the centre of the full-resolution grid, latents on a line
    below them, with a base that grows with their number."""
    line = count(latents)
    latent = rotation(torch.full_like(line, side), line, head, BASE * latents / side)
    return latent, rotation(*square(side, 1, (full - side) // 2), head)


def _grid(side: int, full: int, latents: int, head: int) -> tuple[Tensor, Tensor]:
    """Positions in the image: token i of n along an axis is at (i + 1/2) full / n - 1/2."""
    spacing = full / side
    latent = rotation(*spread(near_square(latents), (full, full)), head)
    return latent, rotation(*square(side, spacing, spacing / 2 - 0.5), head)


def grid_rotation(config: ModelConfig, height: int, width: int, latents: tuple[int, int]) -> Tensor:
    """`joint_rotation` in the layout `grid`, of an image of height x width pixels at any scale and
    latents (rows, columns), which cover the same place."""
    head, patches = config.width // config.heads, config.resolution / config.patch
    full = tuple(patches * n / own for n, own in zip(latents, config.grid, strict=True))
    grids = latents, (height // config.patch, width // config.patch)
    return torch.cat([rotation(*spread(grid, full), head) for grid in grids])


def spread(grid: tuple[int, int], full: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Rows and columns, (tokens,) each, of a grid of tokens spread over (rows, columns) units."""
    y, x = ((count(n) + 0.5) * length / n - 0.5 for n, length in zip(grid, full, strict=True))
    return y.repeat_interleave(grid[1]), x.repeat(grid[0])


def token_rotation(config: ModelConfig, side: int, patch: int) -> Tensor:
    """`joint_rotation` of latents and an image of side x side pixels in patches of `patch` pixels.

    The unit of `grid` is the decoder's patch, so that both networks agree on positions; that of
    `line` is the network's own patch.
    """
    full = config.resolution // (config.patch if config.positions == "grid" else patch)
    head = config.width // config.heads
    return joint_rotation(config.positions, side // patch, full, config.latents, head)
