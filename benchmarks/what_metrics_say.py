"""What each metric says of the same images: TAEF2 beside bicubic, JPEG and WebP.

    python benchmarks/what_metrics_say.py PHOTOGRAPHS --checkpoint FOLDER [--side 256]
        [--metrics quick|faces|light|heavy|patches|all]

JPEG and WebP take, image by image, the quality whose PSNR is nearest to TAEF2's, so that all other
columns say what PSNR does not; and once more the quality nearest to 4 bits per pixel, which is what
TAEF2's 32 channels at an eighth of the side take at 8 bits a number. Rates are of whole files.
`light` adds what EfficientNet-Lite gives at 0.2 s an image and row at 256 px, `faces` what dlib's
networks give at 0.2 s, where they are installed; `heavy` is the trunk of VGG16 and an OCR alone,
which take 1.2 s (one core of an AMD EPYC); `patches` is the Fréchet distance of patches of a
quarter of the side, and the latents of TAEF2; `all` is all but these.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import msdd
from msdd.data.pixels import from_uint8, to_uint8
from msdd.metrics.pixel import psnr

RATE = 4.0  # bits per pixel
HEAD = """
quick:
  crop: adm
"""
QUICK = """
  psnr: { quantisation: round, pool: 1 }
  psnr_hvs: { quantisation: round }
  ssim: { quantisation: round, range: 1 }
  gaussian_ssim: { quantisation: round }
  ms_ssim: { quantisation: round }
  lpips: { quantisation: round, nets: [alex] }
"""
LIGHT = """
  fid: { quantisation: round, features: efficientnet-lite0 }
  kid: true
  frechet: { quantisation: round, networks: [efficientnet-lite2] }
  mind: true
  classes: { quantisation: round, network: efficientnet-lite0 }
"""
HEAVY = """
  dists: { quantisation: round }
  text: { quantisation: round, ocr: rapidocr }
"""
FACES = """
  faces: { quantisation: round, network: dlib }
"""
PATCHES = """
  psnr: { quantisation: round, pool: 1 }
  patch_fid: { quantisation: round, features: efficientnet-lite0, side: SIDE }
  latents: true
"""
SETS = {
    "quick": HEAD + QUICK,
    "faces": HEAD + QUICK + FACES,
    "light": HEAD + QUICK + LIGHT,
    "patches": HEAD + PATCHES,
    "heavy": HEAD + "  lpips: { quantisation: round, nets: [vgg] }\n" + HEAVY,
    "all": HEAD + QUICK.replace("[alex]", "[alex, vgg]") + LIGHT + HEAVY + FACES,
}


def half(images: Tensor) -> Tensor:
    """Bicubic to half the side and back."""
    small = F.interpolate(images, scale_factor=0.5, mode="bicubic", antialias=True)
    return F.interpolate(small, scale_factor=2, mode="bicubic").clamp(-1, 1)


class Remembered:
    """Reconstructions that are made once, as uint8: the codecs need TAEF2's, too."""

    def __init__(self, reconstruct: Callable[[Tensor], Tensor]) -> None:
        self.reconstruct, self.made = reconstruct, {}

    def __call__(self, images: Tensor) -> Tensor:
        return torch.stack([self.one(image) for image in images])

    def one(self, image: Tensor) -> Tensor:
        key = hashlib.sha256(image.numpy().tobytes()).digest()
        if key not in self.made:
            self.made[key] = to_uint8(self.reconstruct(image[None]))[0]
        return self.made[key]


class Codec:
    """Images through files whose quality is the nearest to a target, and their rates."""

    def __init__(self, form: str, goal: Callable[[Tensor], Callable[[Tensor, float], float]]):
        self.form, self.goal, self.rates = form, goal, []

    def __call__(self, images: Tensor) -> Tensor:
        return from_uint8(torch.stack([self.best(image) for image in images]))

    def best(self, image: Tensor) -> Tensor:
        over, low, high = self.goal(image), 1, 100
        while high - low > 1:  # the sign of `over` grows with quality
            middle = (low + high) // 2
            low, high = (low, middle) if over(*self.coded(image, middle)) > 0 else (middle, high)
        tried = [self.coded(image, quality) for quality in (low, high)]
        decoded, rate = min(tried, key=lambda one: abs(over(*one)))
        self.rates.append(rate)
        return decoded

    def coded(self, image: Tensor, quality: int) -> tuple[Tensor, float]:
        """Decoded (3, H, W) and bits per pixel."""
        picture = Image.fromarray(to_uint8(image[None])[0].permute(1, 2, 0).numpy())
        picture.save(file := BytesIO(), self.form, quality=quality)
        decoded = np.array(Image.open(file).convert("RGB"))
        bits = 8 * len(file.getvalue()) / (picture.width * picture.height)
        return torch.from_numpy(decoded).permute(2, 0, 1), bits


def rows(taef2: Callable[[Tensor], Tensor]) -> dict[str, Callable[[Tensor], Tensor]]:
    def at_psnr(image: Tensor):
        original = to_uint8(image[None])
        wanted = psnr(original, taef2(image[None])).item()
        return lambda decoded, rate: psnr(original, decoded[None]).item() - wanted

    def at_rate(image: Tensor):
        return lambda decoded, rate: rate - RATE

    named = {"TAEF2": taef2, "bicubic from half": half}
    for form in ("JPEG", "WebP"):
        named[f"{form}, equal PSNR"] = Codec(form, at_psnr)
        named[f"{form}, 4 bpp"] = Codec(form, at_rate)
    return named


def mean(value: dict | float) -> float:
    """A distance is a number, a metric of images has a mean."""
    return value["mean"] if isinstance(value, dict) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--metrics", choices=SETS, default="quick")
    args = parser.parse_args()
    own = Path("what_metrics_say.yaml")
    own.write_text(SETS[args.metrics].replace("SIDE", str(args.side // 4)))
    tokenizer = msdd.load("taef2", checkpoint=args.checkpoint)
    subjects = rows(Remembered(tokenizer.reconstruct))
    if args.metrics == "patches":
        subjects = {"TAEF2's latents": tokenizer} | subjects
    for name, subject in subjects.items():
        report = msdd.evaluate(
            subject,
            args.photographs,
            protocol=str(own),
            resolution=args.side,
            batch=4,
            missing="skip",
        )
        metrics = report["protocols"]["quick"]["metrics"]
        figures = {key: round(mean(value), 4) for key, value in metrics.items()}
        if isinstance(subject, Codec):
            figures["bpp"] = round(float(np.mean(subject.rates)), 2)
        print(json.dumps({"row": name, "images": report["images"]} | figures), flush=True)


if __name__ == "__main__":
    main()
