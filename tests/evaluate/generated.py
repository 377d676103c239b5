"""Sets of small images in the place of generated ones, and comparisons of them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from msdd.evaluate import report, samples_report, samples_rules
from msdd.evaluate.distributed import Team
from msdd.evaluate.samples_reference import open_reference
from msdd.evaluate.samples_sets import image_set

SIDE, COUNT = 32, 12
RULES = """
lite: { features: efficientnet-lite0, frechet: true, precision_recall: { neighbours: 2 } }
dense: { features: efficientnet-lite0, density_coverage: { neighbours: 2 } }
classes:
  features: inception
  inception_score: { splits: 2, seed: 1 }
  precision_recall: { neighbours: 2, distances: float16 }
"""


def pixels(first: int, count: int = COUNT) -> np.ndarray:
    """uint8 (count, 32, 32, 3): crops of two photographs in turns."""
    photographs = (data.astronaut(), data.chelsea())
    places = ((i, photographs[i % 2]) for i in range(first, first + count))
    crops = [image[(11 * i) % 250 :, (17 * i) % 300 :][:SIDE, :SIDE] for i, image in places]
    return np.stack(crops)


def folder(path: Path, levels: np.ndarray) -> Path:
    """Classes by turns, in names like ImageNet's."""
    path.mkdir(parents=True)
    for i, image in enumerate(levels):
        Image.fromarray(image).save(path / f"{i:04}_n{i % 3:08}.png")
    return path


def rules(path: Path, *names: str) -> dict:
    (path / "rules.yaml").write_text(RULES)
    found = samples_rules.load([str(path / "rules.yaml")])
    return {name: found[name] for name in names or found}


def compared(samples: Path, reference: Path, chosen: dict, team: Team | None = None, **more):
    """The report of the first process, in batches of 3."""
    settings = report.Settings(3, torch.device("cpu"), **more)
    comparison = samples_report.Comparison(
        str(samples), image_set(samples, "--samples"), open_reference(reference), chosen
    )
    found = samples_report.opening(comparison, settings)
    samples_report.measure(comparison, found, settings, team or Team())
    return found
