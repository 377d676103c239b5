"""Measure a tokenizer of your own on a folder of photographs, by the rules of several papers.

    python examples/measure_your_tokenizer.py FOLDER

Replace `Smaller` by your own class: `encode` and `decode` are all that it needs.
"""

import sys

import torch.nn.functional as F
from torch import Tensor

import msdd
from msdd.evaluate import text


class Smaller:
    """The image at a quarter of its sides is the latent: a baseline that networks should beat."""

    resolution = 64  # pixels a side of the crops that it is given

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 3, H / 4, W / 4)."""
        return F.avg_pool2d(images, 4)

    def decode(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents, scale_factor=4.0, mode="bicubic").clamp(-1, 1)


def main(folder: str) -> None:
    tokenizer: msdd.Tokenizer = Smaller()
    report = msdd.evaluate(tokenizer, folder, protocol=["msdd", "llamagen"], missing="skip")
    print(text.table(report))
    for metric, reason in report["not_measured"].items():
        print(f"{metric} is not measured: {reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
