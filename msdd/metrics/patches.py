"""Patches of large images, whose features give a Fréchet distance of few of them."""

from collections.abc import Iterator

from torch import Tensor


def corners(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """Top and left of the patches of an image, row by row; none of one with a side under `side`.

    They are those of a grid from the image's corner, and once more of the grid shifted by half a
    patch in both directions, where both sides have one and a half patches: FID/256 of HiFiC
    (arXiv 2006.09965) as NeuralCompression, GLC and GenCodec take it (`update_patch_fid`). What a
    grid leaves over at the right and at the bottom is in none of its patches.

    side: even, in pixels
    """
    half = side // 2
    starts = [0, half] if min(height, width) >= side + half else [0]
    return [
        (top, left)
        for start in starts
        for top in range(start, height - side + 1, side)
        for left in range(start, width - side + 1, side)
    ]


def patches(images: Tensor, side: int) -> Iterator[Tensor]:
    """The patches (C, side, side) of images (B, C, H, W), image by image; nothing is copied."""
    height, width = images.shape[-2:]
    places = corners(height, width, side)
    for image in images:
        for top, left in places:
            yield image[:, top : top + side, left : left + side]
