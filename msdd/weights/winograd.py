"""Winograd's algorithm for 3 x 3 convolutions, in products of matrices (Lavin, Gray 2016).

4 x 4 outputs take 36 products in place of 144. Its polynomials are evaluated at 0, 1, -1, 2, -2 and
infinity.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

TILE = 4  # outputs a side of a tile
SEEN = TILE + 2  # inputs a side of a tile
OF_INPUTS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
OF_WEIGHTS = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))  # of 24
TO_OUTPUTS = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
AT_ONCE = 32  # tiles
HOW = ([0, 0], [1, 1], [1, 1], SEEN**2)  # padding, stride, dilation and groups of the products


def winograd(images: Tensor, points: Tensor, bias: Tensor) -> Tensor:
    """The convolution of images (B, C, H, W) with black of one pixel around, plus bias (K,).

    points: the weight as `packed_points` makes it. Channels are last in memory. An image gets the
    same bits in any batch.
    """
    count, _, height, width = images.shape
    down, across = -(-height // TILE), -(-width // TILE)
    every = tiles(images)
    made = torch.cat([of_tiles(some, points, len(bias)) for some in every.split(AT_ONCE)])
    made = made.view(count, down, across, TILE, TILE, -1).transpose(2, 3)
    made = made.reshape(count, TILE * down, TILE * across, -1)[:, :height, :width]
    return (made + bias).permute(0, 3, 1, 2)


def of_tiles(seen: Tensor, points: Tensor, channels: int) -> Tensor:
    """Outputs (T, 16, K) of tiles (T, 36, C).

    The products are one convolution of oneDNN's in 36 groups, which is faster than 36 products of
    matrices. It always sees as many tiles: another number has another layout of its weight.
    """
    numbers = F.pad(through(OF_INPUTS, seen), (0, 0, 0, 0, 0, AT_ONCE - len(seen)))
    products = torch.ops.mkldnn._convolution_pointwise(
        numbers.view(1, 1, AT_ONCE, -1).permute(0, 3, 1, 2), points, None, *HOW, "none", [], ""
    )
    products = products.permute(0, 2, 3, 1).reshape(AT_ONCE, SEEN**2, channels)
    return through(TO_OUTPUTS, products[: len(seen)])


def tiles(images: Tensor) -> Tensor:
    """All tiles of images with black around, (B * down * across, 36, C)."""
    height, width = images.shape[2:]
    right, below = (-side % TILE + 1 for side in (width, height))
    x = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, right, 1, below))
    every = x.unfold(1, SEEN, TILE).unfold(2, SEEN, TILE).permute(0, 1, 2, 4, 5, 3)
    return every.reshape(-1, SEEN**2, images.shape[1])


def through(matrix: tuple[tuple[int, ...], ...], numbers: Tensor) -> Tensor:
    """A matrix on columns and on rows of tiles (T, 36, C), as one matrix of all their numbers."""
    one = torch.tensor(matrix, dtype=torch.float32)
    both = torch.kron(one, one)
    return torch.bmm(both.expand(len(numbers), *both.shape), numbers)


def packed_points(weight: Tensor) -> Tensor:
    """A weight (K, C, 3, 3) at all pairs of points, in oneDNN's layout for 36 groups."""
    one = torch.tensor(OF_WEIGHTS, dtype=torch.float64) / 24
    points = torch.kron(one, one) @ weight.double().flatten(2).flatten(0, 1).T
    points = points.float().view(-1, weight.shape[1], 1, 1)
    pack = torch.ops.mkldnn._reorder_convolution_weight
    return pack(points, *HOW, [1, SEEN**2 * weight.shape[1], 1, AT_ONCE])
