"""Held-out crops, and below them what the baselines and every decode make of them."""

from pathlib import Path

import numpy as np

from msdd.arrays import read_npy
from msdd.pipeline import layout
from msdd.report import notes
from msdd.report.contact_sheet import DPI, Sheet, spread
from msdd.report.results import originals, require
from msdd.report.style import save
from msdd.report.table import decimal


def draw(results: list[dict], root: Path) -> int:
    """Write `reports/reconstructions.{png,svg}`; returns how many rows it has."""
    samples = [_samples(root, result) for result in results]
    columns = spread(min(map(len, samples)))
    rows = [originals(results, root, columns), *(images[columns] for images in samples)]
    names = [("original", ""), *((result["decode"], _cost(result)) for result in results)]
    save(Sheet(rows, _foot(results, root), names).draw(), root, "reconstructions", DPI)
    return len(rows)


def _samples(root: Path, result: dict) -> np.ndarray:
    """Reconstructions of the crops with the smallest ids, uint8 (K, H, W, 3)."""
    return read_npy(require(root, layout.samples(Path(result["file"]))))


def _cost(result: dict) -> str:
    """The mean PSNR over all crops, and the number of passes (NFE)."""
    passes = result.get("nfe") or 0
    count = f" · {passes} pass{'es' * (passes > 1)}" if passes else ""
    return f"{decimal(result['metrics']['psnr']['mean'], 2)} dB{count}"


def _foot(results: list[dict], root: Path) -> str:
    return (
        f"Mean PSNR over {notes.crops(results, root)}, protocol {results[0]['protocol']}; "
        f"the crops shown are enlarged by nearest neighbour.{notes.few(root)}"
    )
