"""The stage `figures`: pictures from the pipeline's own files, each as PNG and SVG."""

from pathlib import Path

from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.report import curves, pyramid, quality_speed, reconstructions
from msdd.report.results import paths, read, recorded, timing_files

BESIDE = (layout.samples, layout.pyramid)  # an evaluation, drawn as pictures


def run(params: Params, root: Path) -> dict[str, int]:
    """Write `reports/{reconstructions,pyramid,quality_speed,curves}`; returns what they show."""
    beside = [where(path) for path in paths(params) for where in BESIDE]
    drawn = [*timing_files(params), *beside, *curves.files(params)]
    with recorded("figures", params, root, drawn):
        results = read(params, root, drawn)
        return {
            "rows": reconstructions.draw(results, root),
            "pyramids": pyramid.draw(results, root),
            "points": quality_speed.draw(results, root),
            "curves": curves.draw(params, root),
        }
