"""What model folders make of images unlike those they were trained on, and larger ones, by tiles.

    python benchmarks/other_images.py --models FOLDER... --images FOLDER... [--sides 64 128 256]

ADM's centre crops at each side, and as many images of rendered text; PSNR, SSIM and LPIPS by
protocol `primary`, with 95 % intervals over images.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import msdd
from msdd.data.centre_crops import adm
from msdd.data.image_folder import by_stem
from msdd.data.photographs import read_photograph

WORDS = [
    "image",
    "token",
    "scale",
    "noise",
    "latent",
    "decode",
    "teacher",
    "student",
    "step",
    "patch",
]
METRICS = ("psnr", "ssim", "lpips_alex")


def crops_of(folder: Path, side: int) -> Tensor:
    """ADM's crops of a folder's images, uint8 (N, 3, side, side)."""
    files = by_stem(folder, "--images").values()
    return stacked(adm(Image.fromarray(read_photograph(path)), side) for path in files)


def stacked(images: Iterable[Image.Image]) -> Tensor:
    return torch.from_numpy(np.stack([np.asarray(one) for one in images])).permute(0, 3, 1, 2)


def text_of(count: int, side: int) -> Tensor:
    """Images of words in three sizes, dark on light or light on dark, uint8 (N, 3, side, side)."""
    random, images = np.random.default_rng(0), []
    for number in range(count):
        paper = tuple(random.integers(190, 256, 3).tolist())
        ink = tuple(random.integers(0, 80, 3).tolist())
        colours = (paper, ink) if number % 2 else (ink, paper)
        image = Image.new("RGB", (side, side), colours[0])
        draw, top = ImageDraw.Draw(image), 2
        while top < side:
            size = int(random.choice([8, 12, 20]))
            line = " ".join(random.choice(WORDS, side // size))
            draw.text((2, top), line, colours[1], ImageFont.load_default(size))
            top += size + 4
        images.append(image)
    return stacked(images)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", type=Path, required=True)
    parser.add_argument("--images", nargs="+", type=Path, required=True)
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 128, 256])
    args = parser.parse_args()
    print("| images | side | model | PSNR | SSIM | LPIPS alex |\n|---|---:|---|---:|---:|---:|")
    for side in args.sides:
        sets = {one.name: crops_of(one, side) for one in args.images}
        for name, images in (sets | {"text": text_of(24, side)}).items():
            for folder in args.models:
                model = msdd.load(folder, size="native")
                report = msdd.evaluate(model, images, features="none")
                found = report["protocols"]["primary"]["metrics"]
                cells = " | ".join(cell(found[metric]) for metric in METRICS)
                print(f"| {len(images)} of {name} | {side} | {folder.name} | {cells} |", flush=True)


def cell(metric: dict[str, float]) -> str:
    return f"{metric['mean']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


if __name__ == "__main__":
    main()
