"""Pictures from the pipeline's own files, each as PNG and SVG."""

from pathlib import Path

from msdd.params import Params
from msdd.report import curves, pyramid, quality_speed, reconstructions
from msdd.report.results import read


def run(params: Params, root: Path = Path(".")) -> dict[str, int]:
    """Write `reports/{reconstructions,pyramid,quality_speed,curves}`; returns what they show."""
    results = read(params, root)
    return {
        "rows": reconstructions.draw(results, root),
        "pyramids": pyramid.draw(results, root),
        "points": quality_speed.draw(results, root),
        "curves": curves.draw(params, root),
    }
