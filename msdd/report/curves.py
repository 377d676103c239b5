"""Training curves: a panel for stage 1, and one for each student."""

import csv
import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, ScalarFormatter

from msdd.data.manifest import read_manifest
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.report import notes
from msdd.report.results import distillation
from msdd.report.style import COLOURS, GREY, SMALL, figure_style, save, wrap

Curve = tuple[list[int], list[float]]
MOST_COLUMNS = 3


def draw(params: Params, root: Path) -> int:
    """Write `reports/curves.{png,svg}` from all `curves.csv` that exist; returns their number."""
    drawn = {title: lines for title, lines in panels(params, root).items() if lines}
    save(figure(drawn, _foot(root)), root, "curves")
    return sum(map(len, drawn.values()))


def files(params: Params) -> list[Path]:
    """The `curves.csv` of all trainings, existing or not."""
    folders = [layout.stage1(model) for model in params.models]
    for student in params.students:
        folders += _folders(params, student, Path()).values()
    return [folder / "curves.csv" for folder in folders]


def panels(params: Params, root: Path) -> dict[str, dict[str, Curve]]:
    """The curves of each panel by name, under the panel's title."""
    stage1 = {model: root / layout.stage1(model) for model in params.models}
    students = {f"Student {row}": _folders(params, row, root) for row in params.students}
    return {title: _curves(folders) for title, folders in {"Stage 1": stage1, **students}.items()}


def _folders(params: Params, student: str, root: Path) -> dict[str, Path]:
    """A student's trainings by name: one for each scale, or one for the whole chain."""
    model = params.model_row(student)
    if params.distil_of(student).mode != "per_scale":
        return {distillation(student, params): root / layout.assembled(model, student)}
    scales = range(params.model_of(model).scales)
    return {f"scale {k}": root / layout.scale(model, student, k) for k in scales}


def _foot(root: Path) -> str:
    made = read_manifest(root / layout.prepared())
    crops, count = (made[kind]["train"] for kind in ("crops", "photographs"))
    drawn = made["data"].get("store") == "photographs"
    amount = "random crops" if drawn else f"{crops:,} crops"
    return (
        f"Trained on {amount} of {count:,} photograph{'s' * (count != 1)}."
        f"{notes.few(root, 'train')}"
    )


def _curves(folders: dict[str, Path]) -> dict[str, Curve]:
    files = {name: folder / "curves.csv" for name, folder in folders.items()}
    return {name: read(file) for name, file in files.items() if file.exists()}


def read(path: Path) -> Curve:
    """Images seen, and the loss at each of these counts."""
    with open(path, newline="") as file:
        points = list(csv.DictReader(file))
    return [int(point["images"]) for point in points], [float(point["loss"]) for point in points]


def figure(panels: dict[str, dict[str, Curve]], foot: str) -> Figure:
    """A panel for each title, each with its own logarithmic axis of losses."""
    columns = max(1, min(MOST_COLUMNS, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    with figure_style():
        made = Figure((4.2 * columns, 3.0 * rows), layout="constrained", facecolor="white")
        for k, (title, lines) in enumerate(panels.items()):
            _panel(made.add_subplot(rows, columns, k + 1), title, lines)
        made.supxlabel(wrap(foot, 4.2 * columns), x=0.01, ha="left", size=SMALL, color=GREY)
    return made


def _panel(axes: Axes, title: str, lines: dict[str, Curve]) -> None:
    for k, (name, (images, losses)) in enumerate(lines.items()):
        style = "-" if k < len(COLOURS) else "--"
        axes.plot(images, losses, style, color=COLOURS[k % len(COLOURS)], linewidth=1.4, label=name)
    axes.set_title(title)
    axes.set_xlabel("images seen")
    axes.set_ylabel("loss")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _log_axis(axes)
    axes.legend(fontsize=8, labelcolor=GREY)


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with labels like 0.3, not 3 x 10^-1, readable within one decade too."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5), numticks=12))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
