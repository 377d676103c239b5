"""What an image of any size loses by tiles: PSNR and the seam, by tiles and whole.

    python benchmarks/any_size.py MODEL_FOLDER IMAGE... [--crop SIDE] [--whole]

The seam is the mean squared error of the two pixels at a line where a tile begins or ends, over
that at other lines of the same place in a cell of latents. Patches have borders, too: against all
pixels their error would count as the tiles'.
"""

import argparse

import numpy as np
import torch
from torch import Tensor

from msdd import load
from msdd.data.photographs import read_photograph
from msdd.data.pixels import from_uint8, to_uint8
from msdd.metrics.pixel import psnr
from msdd.tokenizers.any_size import Windows


def borders(begins: list[int], tile: int) -> set[int]:
    """The pixels behind the inner borders of tiles along an axis."""
    inner = {*begins, *(begin + tile for begin in begins)}
    return inner - {0, begins[-1] + tile}


def seam(errors: Tensor, lines: list[set[int]], cell: tuple[int, int]) -> float:
    """Mean of squared errors (H, W) at borders over that at other lines between cells.

    lines: the borders along each axis, multiples of the cell's side.
    """
    at, apart = [], []
    for profile, inner, side in zip((errors.mean(1), errors.mean(0)), lines, cell, strict=True):
        for line in range(side, len(profile), side):
            (at if line in inner else apart).append(profile[line - 1 : line + 1].mean())
    return float(torch.stack(at).mean() / torch.stack(apart).mean())


def measure(model: Windows, image: Tensor) -> dict[str, float]:
    """PSNR in dB and the seam of an image (1, 3, H, W) in [-1, 1]."""
    made = model.reconstruct(image)
    height, width = image.shape[-2:]
    layout = model.layout(*model.sides(height, width))
    lines = [borders(begins, layout.tile) for begins in (layout.rows, layout.columns)]
    errors = (made - image).square().mean(1)[0].double()
    values = {"psnr": float(psnr(to_uint8(made), to_uint8(image))[0])}
    return values | {"seam": seam(errors, lines, model.cell)}


def centre(image: Tensor, side: int | None) -> Tensor:
    if side is None:
        return image
    top, left = ((n - side) // 2 for n in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("images", nargs="+")
    parser.add_argument("--crop", type=int, help="side of the images' middle; default: all")
    parser.add_argument("--whole", action="store_true", help="also without tiles")
    args = parser.parse_args()
    model = load(args.folder, size="native")
    rows = []
    for path in args.images:
        pixels = torch.from_numpy(np.array(read_photograph(path))).permute(2, 0, 1)[None]
        image = centre(from_uint8(pixels), args.crop)
        model.tiled = True
        row = measure(model, image)
        if args.whole:
            model.tiled = False
            row["psnr whole"] = measure(model, image)["psnr"]
        print(path, *(f"{name} {value:.3f}" for name, value in row.items()), sep="  ", flush=True)
        rows.append(row)
    print("mean", *(f"{n} {np.mean([row[n] for row in rows]):.3f}" for n in rows[0]), sep="  ")


if __name__ == "__main__":
    main()
