"""What rows of `decodes` make of free photographs, whole and enlarged: findings-pictures.png.

    python benchmarks/findings_pictures.py DECODE... [--params params.yaml] [--to FILE.png]

Crops of photographs that scikit-image and scikit-learn ship, reduced to the resolution of the
params, which is to be a multiple of 64.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from msdd.data.photographs import embedded_photograph, read_photograph
from msdd.data.pixels import from_uint8, to_uint8
from msdd.evaluate.stage import job_of
from msdd.metrics.pixel import psnr
from msdd.params.load import load
from msdd.params.schema import Params
from msdd.pipeline.task import resolve
from msdd.report.contact_sheet import Sheet

CROPS = {  # left, top and side of a square in pixels; left and top of a patch in 64ths of the side
    "astronaut.png": ((150, 0, 200), (22, 24)),
    "chelsea.png": ((120, 40, 200), (12, 12)),
    "rocket.jpg": ((230, 60, 280), (18, 14)),
    "china.jpg": ((150, 60, 280), (24, 22)),
    "flower.jpg": ((180, 80, 260), (2, 24)),
}
PATCH = 16  # 64ths


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("decodes", nargs="+")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--to", type=Path, default=Path("findings-pictures.png"))
    args = parser.parse_args()
    params = load(args.params)
    originals = torch.stack([crop(name, params.data.resolution) for name in CROPS])
    made = {name: decoded(params, name, originals) for name in args.decodes}
    sheet({"original": originals} | made).draw().savefig(args.to, metadata={"Software": None})


def crop(name: str, side: int) -> Tensor:
    """uint8 (3, side, side)."""
    left, top, size = CROPS[name][0]
    image = Image.fromarray(read_photograph(embedded_photograph(name).path))
    box = (left, top, left + size, top + size)
    reduced = image.resize((side, side), Image.Resampling.LANCZOS, box)
    return torch.from_numpy(np.array(reduced)).permute(2, 0, 1)


@torch.inference_mode()
def decoded(params: Params, name: str, originals: Tensor) -> Tensor:
    """What a row makes of crops (N, 3, side, side), uint8."""
    task = resolve(params, "evaluate", decode=name)
    tokenizer = job_of(task, Path("."), torch.device("cpu")).tokenizer
    ids = list(range(len(originals)))
    return to_uint8(tokenizer.reconstruct(from_uint8(originals), ids, task.seed))


def sheet(columns: dict[str, Tensor]) -> Sheet:
    """A row of crops and one of patches for each photograph, PSNR below the crops."""
    originals = next(iter(columns.values()))
    rows, captions = [], []
    for number, (_, place) in enumerate(CROPS.values()):
        images = [column[number].permute(1, 2, 0).numpy() for column in columns.values()]
        figures = psnrs(list(columns.values()), originals, number)
        rows += [images, [patch(image, place) for image in images]]
        captions += [["", *figures[1:]], [""] * len(images)]
    foot = f"PSNR of the whole crop in dB. Below each crop {PATCH}/64 of its side, enlarged."
    return Sheet(rows, foot, heads=[(name, "") for name in columns], captions=captions)


def psnrs(columns: list[Tensor], originals: Tensor, number: int) -> list[str]:
    pairs = [(column[number][None] / 255, originals[number][None] / 255) for column in columns]
    return [f"{psnr(*pair).item():.2f}" for pair in pairs]


def patch(image: np.ndarray, place: tuple[int, int]) -> np.ndarray:
    """The part (side / 4, side / 4, 3) of an image (side, side, 3) that begins at a place."""
    left, top, size = (x * len(image) // 64 for x in (*place, PATCH))
    return image[top : top + size, left : left + size]


if __name__ == "__main__":
    main()
