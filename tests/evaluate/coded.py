"""Tokenizers of a few lines, with codes and with latents, and their evaluation by the command."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.cli import main

SIDE, CELL = 32, 8
RULES = "mine: {{ crop: adm, psnr: {{ quantisation: round, pool: 1 }}, {} }}\n"


class Grey:
    """The mean level of each cell, one of `codes` grey levels, all of them used or not."""

    resolution = SIDE

    def __init__(self, codes: int | None = 16, shift: int = 0) -> None:
        self.shift = shift
        if codes is not None:
            self.codes = codes

    def encode(self, images: Tensor) -> Tensor:
        means = F.avg_pool2d(images, CELL).mean(1)
        return ((means + 1) / 2 * 15).round().long() + self.shift

    def decode(self, latents: Tensor) -> Tensor:
        return enlarged((latents - self.shift)[:, None] / 15 * 2 - 1)


class Means:
    """The mean colour of each cell, (B, 3, h, w)."""

    resolution = SIDE

    def encode(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, CELL)

    def decode(self, latents: Tensor) -> Tensor:
        return enlarged(latents)


class Short(Grey):
    """Its indices as a type of 16 bits without sign."""

    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images).to(torch.uint16)

    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents.long())


class Growing(Means):
    """One channel more in each batch."""

    channels = 0

    def encode(self, images: Tensor) -> Tensor:
        self.channels += 1
        return super().encode(images).repeat(1, self.channels, 1, 1)

    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents[:, :3])


class Diverged(Means):
    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images) / 0


def enlarged(cells: Tensor) -> Tensor:
    return F.interpolate(cells, SIDE).expand(-1, 3, -1, -1)


grey, beyond, unsized, short = Grey(), Grey(shift=2), Grey(codes=None), Short()
means, diverged, growing = Means(), Diverged(), Growing()


def white(images: Tensor) -> Tensor:
    return torch.ones_like(images)


def run(folder: Path, name: str, keys: str, to: Path, *more: str) -> int:
    """`msdd evaluate` of `coded:name` under a protocol with these keys; JSON in `to / m.json`."""
    (to / "rules.yaml").write_text(RULES.format(keys))
    what = ["--tokenizer", f"coded:{name}", "--images", str(folder), "--resolution", str(SIDE)]
    how = ["--protocol", str(to / "rules.yaml"), "--batch", "2", "--json", str(to / "m.json")]
    return main(["evaluate", *what, *how, *more])


def entry(to: Path) -> dict:
    return json.loads((to / "m.json").read_text())["protocols"]["mine"]
