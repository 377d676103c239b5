"""Pictures inside the page: crops and reconstructions as PNG data of the page itself."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from msdd.arrays import read_npy
from msdd.pipeline import layout
from msdd.report.contact_sheet import spread
from msdd.report.results import (
    estimates,
    group,
    originals,
    with_pyramids,
)
from msdd.report.table import decimal

WORDS = ("worst", "median", "best")
MOST_PIXELS = 4_000_000  # of all pairs together; further decodes are left out, and counted
MOST_DECODES = 24
LINE = 512  # pixels of a line of crops, eight at most
CROPS = 3  # of a pyramid


def png(image: np.ndarray) -> str:
    """A data URI of uint8 (H, W, 3), without loss."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def pairs(results: list[dict], root: Path) -> tuple[list[dict], int]:
    """The worst, median and best image of each decode beside the original, and the number of
    decodes beyond those shown. Decodes without the file are left out."""
    shown, pixels = [], 0
    kept = [one for one in results if _extremes(one, root).exists()]
    for result in kept[:MOST_DECODES]:
        images = read_npy(_extremes(result, root))
        pixels += images[..., 0].size
        if shown and pixels > MOST_PIXELS:
            break
        shown.append(_decode(result, images))
    return shown, len(kept) - len(shown)


def _extremes(result: dict, root: Path) -> Path:
    return root / layout.extremes(Path(result["file"]))


def _decode(result: dict, images: np.ndarray) -> dict:
    told = result["extremes"]["held_out"]
    rows = [
        {
            "word": word,
            "crop": told[word]["name"],
            "psnr": _decibels(told[word]["psnr"]),
            "original": png(images[k]),
            "made": png(images[k + len(WORDS)]),
        }
        for k, word in enumerate(WORDS)
    ]
    return {"name": result["decode"], "group": group(result), "pairs": rows} | _mean(result)


def _mean(result: dict) -> dict:
    return {"psnr": decimal(result["metrics"]["psnr"]["mean"], 2), "nfe": result.get("nfe") or 0}


def _decibels(psnr: float | None) -> str:
    return "∞" if psnr is None else decimal(psnr, 2)


def lines(results: list[dict], root: Path) -> dict | None:
    """The same crops through every decode, each line as one picture; None without samples."""
    files = {id(one): root / layout.samples(Path(one["file"])) for one in results}
    kept = [one for one in results if files[id(one)].exists()][:MOST_DECODES]
    samples = [read_npy(files[id(one)]) for one in kept]
    if not samples:
        return None
    columns = spread(min(map(len, samples)), max(2, min(8, LINE // samples[0].shape[1])))
    first = {"name": "original", "psnr": None, "nfe": 0}
    rows = [first | {"image": png(_strip(originals(results, root, columns)))}]
    for one, images in zip(kept, samples, strict=True):
        rows.append({"name": one["decode"], "image": png(_strip(images[columns]))} | _mean(one))
    return {"rows": rows, "count": len(columns), "side": samples[0].shape[1]}


def _strip(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W, 3) side by side."""
    return np.concatenate(list(images), 1)


def pyramids(results: list[dict], root: Path) -> list[dict]:
    """Estimates from coarse to fine by the first teacher and the first student that keep them."""
    return [_pyramid(one, results, root) for one in with_pyramids(results, root)]


def _pyramid(result: dict, results: list[dict], root: Path) -> dict:
    scales = estimates(result, root)
    columns = spread(len(scales[0]), CROPS)
    steps = [
        {"side": scale.shape[1], "images": [png(scale[k]) for k in columns]} for scale in scales
    ]
    truth = [png(image) for image in originals(results, root, columns)]
    return {"name": result["decode"], "steps": steps, "original": truth}
