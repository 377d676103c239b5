"""From coarse to fine: the clean image as a teacher and a student estimate it at every scale."""

from pathlib import Path

from msdd.report import notes
from msdd.report.contact_sheet import DPI, Label, Sheet, spread
from msdd.report.results import estimates, originals, with_pyramids
from msdd.report.style import save

ROWS = 6


def draw(results: list[dict], root: Path) -> int:
    """Write `reports/pyramid.{png,svg}`; returns how many decodes it shows: two, one or none."""
    shown = with_pyramids(results, root)
    pyramids = [estimates(result, root) for result in shown]
    count = min((len(scales[0]) for scales in pyramids), default=len(results[0]["names"]))
    samples = spread(count, ROWS)
    columns = [scale[samples] for scales in pyramids for scale in scales]
    columns.append(originals(results, root, samples))
    heads = [head for result in shown for head in _heads(result)]
    heads.append(("original", f"{len(columns[-1][0])} px"))
    rows = list(zip(*columns, strict=True))
    save(Sheet(rows, _foot(root), heads=heads).draw(), root, "pyramid", DPI)
    return len(shown)


def _heads(result: dict) -> list[Label]:
    """Column heads: the decode's name over its first column, the side in pixels over each."""
    names = [result["decode"], *[""] * len(result["scales"])]
    return [(name, f"{side} px") for name, side in zip(names, result["scales"], strict=False)]


def _foot(root: Path) -> str:
    return (
        "Clean estimates at the end of each scale, coarse to fine, of crops of "
        f"{notes.held_out(root)}; enlarged by nearest neighbour.{notes.few(root)}"
    )
