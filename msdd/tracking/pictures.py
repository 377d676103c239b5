"""Images as MLflow's page compares them: by name and step, in the files that it looks for.

Its image grid takes files `images/NAME+step+N+timestamp+MS+ID.png` and, for its tiles, the same
ending in `+compressed.webp` (MLflow 3.17.2, `MlflowClient.log_image`). That function draws a new ID
at each call, so that a delivery that is repeated would double the picture. Here the name depends on
nothing but name and step.
"""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from msdd.arrays import read_npy
from msdd.files import atomic

FOLDER = "images/"
TAG = "mlflow.loggedImages"  # by which the page knows that a run has images
TILE = 256  # the longer side of a tile, in pixels


def write(images: object, name: str, step: int, folder: Path) -> list[str]:
    """Write images as one picture below `folder`; returns the files' names, relative to it.

    images: uint8 (N, H, W, 3), or the path of a .npy file of them.
    """
    picture = grid(read_npy(images) if isinstance(images, (str, Path)) else np.asarray(images))
    tile = picture.copy()
    tile.thumbnail((TILE, TILE))
    stem = f"{FOLDER}{name}+step+{step}+timestamp+0+0"
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with atomic(folder / f"{stem}.png") as temporary:
        picture.save(temporary, "PNG")
    with atomic(folder / f"{stem}+compressed.webp") as temporary:
        tile.save(temporary, "WEBP", lossless=True)
    return [f"{stem}.png", f"{stem}+compressed.webp"]


def grid(images: np.ndarray) -> Image.Image:
    """Images (N, H, W, 3) as nearly a square, small ones enlarged by nearest."""
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    canvas = np.full((rows * columns, height, width, channels), 255, images.dtype)
    canvas[:count] = images
    cells = canvas.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = Image.fromarray(cells.reshape(rows * height, columns * width, channels))
    enlarge = max(1, 128 // height)
    size = (picture.width * enlarge, picture.height * enlarge)
    return picture.resize(size, Image.Resampling.NEAREST)
