"""Pictures from the pipeline's own files: reconstructions side by side, and the training curves."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from msdd import layout
from msdd.data.shards import Crops, read_manifest
from msdd.params import Params
from msdd.report import curves
from msdd.report.results import existing, read
from msdd.report.style import GREY, save, styled

COLUMNS = 8
CELL, GAP, MARGIN, FOOT, LETTER = 128, 6, 16, 34, 9  # pixels
DPI = 100


def run(params: Params, root: Path = Path(".")) -> dict[str, int]:
    """Write `reports/reconstructions.png` and `reports/curves.png`; returns what they show."""
    lines = curves.draw(params, root)
    rows = reconstructions(params, root)
    return {"rows": rows, "curves": lines}


def reconstructions(params: Params, root: Path) -> int:
    """Held-out crops, and under them what the references and every decode make of them."""
    results = read(params, root)
    samples = [_samples(root, result) for result in results]
    columns = spread(min(map(len, samples)))
    ids = np.sort(results[0]["ids"])[columns]
    originals = Crops(root / layout.prepared(), "held_out").batch(ids).numpy().transpose(0, 2, 3, 1)
    rows = [("original", "", originals)]
    for result, images in zip(results, samples, strict=True):
        rows.append((result["decode"], _figures(result), images[columns]))
    save(grid(rows, _foot(results, root)), root / layout.reconstructions(), DPI)
    return len(rows)


def _samples(root: Path, result: dict) -> np.ndarray:
    """Reconstructions of the crops with the smallest ids, uint8 (K, H, W, 3)."""
    return np.load(existing(root, layout.samples(Path(result["file"]))))


def spread(count: int) -> np.ndarray:
    """Which of `count` samples are shown: some, evenly; crops are shuffled on disk anyway."""
    return np.unique(np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int))


def _figures(result: dict) -> str:
    """The mean PSNR over all crops, and what it cost."""
    passes = result.get("forward_passes") or 0
    cost = f" · {passes} pass{'es' * (passes > 1)}" if passes else ""
    return f"{result['metrics']['psnr']['mean']:.2f} dB{cost}"


def _foot(results: list[dict], root: Path) -> str:
    photographs = read_manifest(root / layout.prepared())["photographs"]["held_out"]
    return (
        f"Mean PSNR over {results[0]['images']} crops of {photographs} held-out "
        f"photograph{'s' * (photographs != 1)}, protocol {results[0]['protocol']}; "
        "the crops shown are enlarged by nearest neighbour."
    )


def grid(rows: list[tuple[str, str, np.ndarray]], foot: str) -> Figure:
    """Rows of (name, figures, uint8 images (N, H, W, 3)); every pixel a whole number of pixels."""
    count, side = rows[0][2].shape[:2]
    cell = side * max(1, math.ceil(CELL / side))
    label = LETTER * max(14, *(len(name) + 1 for name, _, _ in rows))
    width = 2 * MARGIN + label + count * (cell + GAP) - GAP
    height = MARGIN + FOOT + len(rows) * (cell + GAP)
    with styled():
        figure = Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white")
        for k, (name, figures, images) in enumerate(rows):
            bottom = height - MARGIN - (k + 1) * cell - k * GAP
            _label(figure, name, figures, (bottom + cell / 2) / height, width)
            for column, image in enumerate(images):
                left = MARGIN + label + column * (cell + GAP)
                box = (left / width, bottom / height, cell / width, cell / height)
                _show(figure, image, box)
        figure.text(MARGIN / width, 12 / height, foot, color=GREY, size=7.5)
    return figure


def _label(figure: Figure, name: str, figures: str, middle: float, width: int) -> None:
    left, high, low = MARGIN / width, "bottom" if figures else "center", "top"
    figure.text(left, middle, name, va=high, weight="bold")
    figure.text(left, middle, figures, va=low, color=GREY, size=8)


def _show(figure: Figure, image: np.ndarray, box: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(box)
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
