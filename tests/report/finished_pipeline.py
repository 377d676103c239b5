"""The files that a small pipeline leaves behind, made by hand, for tests of the reports."""

import json
from pathlib import Path

import numpy as np

from msdd import layout
from msdd.files import write_json
from msdd.params import Params, load

PRESET = Path(__file__).parents[2] / "presets" / "demo.yaml"
IMAGES, KEPT, SIDE = 40, 16, 32


def make(root: Path) -> Params:
    """A finished pipeline of one model, one student and two decodes below `root`."""
    params = load(PRESET)
    held_out = photographs(IMAGES)
    folder = root / layout.prepared()
    (folder / "held_out").mkdir(parents=True)
    np.save(folder / "held_out" / "00000.npy", held_out)
    crops = {"train": 0, "held_out": IMAGES}
    manifest = {"digest": "d", "resolution": SIDE, "crops": crops, "photographs": {"held_out": 2}}
    write_json(folder / "manifest.json", manifest)
    for name, noise in (("mean-colour", 60), ("bicubic", 12)):
        evaluation(root, layout.reference(name), {"decode": name}, held_out, noise)
    for decode, noise, speed in (("teacher", 30, 20.0), ("student", 32, 83.0)):
        model, student = params.source(decode)
        row = {"decode": decode, "of": student or model, "model": model, "student": student}
        cost = 3 if student else 24
        row |= {"steps": [cost // 6 or 1] * 3, "guidance": [1.0 if student else 1.5] * 3}
        row |= {"forward_passes": cost, "scales": [8, 16, 32]}
        path = layout.evaluation(model, student, decode)
        evaluation(root, path, row, held_out, noise)
        timing(root, path, speed)
    curves(root / layout.stage1("msdd"), 1.0, 0.3, 102_400)
    for k in range(3):
        curves(root / layout.scale("msdd", "msdd-1step", k), 0.2 / (k + 1), 0.02, 25_600)
    return params


def photographs(count: int) -> np.ndarray:
    """Crops of a real photograph, uint8 (count, SIDE, SIDE, 3)."""
    from skimage.data import rocket

    image = rocket()
    random = np.random.default_rng(0)
    corners = random.integers(0, (image.shape[0] - 128, image.shape[1] - 128), (count, 2))
    step = 128 // SIDE
    return np.stack([image[y : y + 128 : step, x : x + 128 : step] for y, x in corners])


def evaluation(root: Path, path: Path, row: dict, held_out: np.ndarray, noise: float) -> None:
    """Metrics and samples of held-out crops with some noise on them."""
    random = np.random.default_rng(int(noise))
    made = np.clip(held_out + random.normal(0, noise, held_out.shape), 0, 255).astype(np.uint8)
    error = ((made - held_out.astype(float)) ** 2).mean((1, 2, 3))
    psnr = 10 * np.log10(255**2 / error)
    interval = {"mean": psnr.mean(), "low": psnr.mean() - 0.3, "high": psnr.mean() + 0.3}
    third = {"mean": 0.3, "low": 0.29, "high": 0.31}
    metrics = {"psnr": interval, "ssim": third, "lpips_alex": third, "lpips_vgg": third}
    metrics["fd_efficientnet_lite0"] = 12.3456
    per_image = {"psnr": psnr.tolist()}
    figures = {"images": IMAGES, "protocol": "primary", "ids": list(range(IMAGES))}
    write_json(root / path, row | figures | {"metrics": metrics, "per_image": per_image})
    np.save(root / layout.samples(path), made[:KEPT])


def timing(root: Path, path: Path, speed: float, **changed: object) -> None:
    box = {"device": "Some CPU @ 2.0", "threads": 2, "precision": "fp32", "batch": 64}
    box |= {"images_per_second": speed, "decode_seconds": 64 / speed}
    provenance = {"provenance": {"commit": "0123456789abcdef", "dirty": False}}
    write_json(root / layout.timing(path), box | provenance | changed)


def curves(folder: Path, first: float, last: float, images: int) -> None:
    """A loss that falls like a power of the images seen."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    with open(folder / "curves.jsonl", "w") as file:
        for seen in range(2_560, images + 1, 2_560):
            share = np.log(seen / 2_560) / np.log(images / 2_560)
            loss = first * (last / first) ** share * random.normal(1, 0.03)
            file.write(json.dumps({"images": seen, "loss": loss}) + "\n")
