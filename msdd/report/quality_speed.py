"""Quality against speed: a point for every decode, a line for every baseline."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from msdd.report import notes
from msdd.report.results import BASELINE_ROWS, STUDENTS, TEACHERS, group
from msdd.report.style import COLOURS, GREY, SMALL, figure_style, save, wrap

LOOKS = {TEACHERS: ("o", COLOURS[0]), STUDENTS: ("D", COLOURS[1])}
SIZE = (7.5, 4.8)  # inches
HEIGHT, LETTER, AWAY = 10.0, 4.9, 7.0  # points: of a label, of a letter, from point to label

Box = tuple[float, float, float, float]  # left, bottom, right, top in points


def draw(results: list[dict], root: Path) -> int:
    """Write `reports/quality_speed.{png,svg}`; returns the number of decodes in it."""
    lines = [result for result in results if group(result) == BASELINE_ROWS]
    points = [result for result in results if group(result) != BASELINE_ROWS and result["timing"]]
    with figure_style():
        figure = Figure(SIZE, facecolor="white")
        axes = figure.add_axes((0.085, 0.205, 0.885, 0.725))
        _axes(axes, lines, points)
        for result in lines:
            _line(axes, result)
        _points(axes, points)
        _labels(axes, points)
        foot = wrap(_foot(points, results, root), SIZE[0] * 0.95)
        figure.text(0.02, 0.02, foot, color=GREY, size=SMALL)
    save(figure, root, "quality_speed")
    return len(points)


def _axes(axes: Axes, lines: list[dict], points: list[dict]) -> None:
    """Set scales and limits; this comes first, because labels are placed by their points."""
    psnr = [result["metrics"]["psnr"] for result in lines + points]
    low, high = min(one["low"] for one in psnr), max(one["high"] for one in psnr)
    speeds = [_speed(result) for result in points] or [1]
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 3, max(speeds) * 3)  # room for labels on both sides
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    axes.set_xlabel("images/s, decoding alone")
    axes.set_ylabel("PSNR (dB)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _line(axes: Axes, result: dict) -> None:
    mean = result["metrics"]["psnr"]["mean"]
    axes.axhline(mean, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    text, where = f"{result['decode']} {mean:.2f} dB", axes.get_yaxis_transform()
    axes.text(0.995, mean, text, transform=where, ha="right", va="bottom", color=GREY, size=8)


def _points(axes: Axes, points: list[dict]) -> None:
    for kind, (marker, colour) in LOOKS.items():
        of_kind = [result for result in points if group(result) == kind]
        psnr = [result["metrics"]["psnr"] for result in of_kind]
        x, y = [_speed(result) for result in of_kind], [one["mean"] for one in psnr]
        axes.vlines(x, [one["low"] for one in psnr], [one["high"] for one in psnr], colour, lw=1)
        looks = {"s": 36, "color": colour, "marker": marker, "edgecolors": "white", "zorder": 3}
        axes.scatter(x, y, **looks, label=kind.lower())
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8, labelcolor=GREY)


def _labels(axes: Axes, points: list[dict]) -> None:
    """Write each label at the first free place beside its point, else at the least crowded one."""
    unit = axes.figure.dpi / 72
    where = [(_speed(result), result["metrics"]["psnr"]["mean"]) for result in points]
    spots = [tuple(spot / unit) for spot in axes.transData.transform(where)] if where else []
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for result, xy, (x, y) in zip(points, where, spots, strict=True):
        boxes = places(x, y, LETTER * len(result["decode"]))
        box = min(boxes, key=lambda box: sum(_overlap(box, other) for other in taken))
        taken.append(box)
        side = 1 if box[0] > x else -1
        offset = (side * AWAY, (box[1] + box[3]) / 2 - y)
        style = {"size": 8, "va": "center", "ha": "left" if side > 0 else "right"}
        axes.annotate(result["decode"], xy, offset, textcoords="offset points", **style)


def places(x: float, y: float, width: float) -> list[Box]:
    """Places for the label of a point, best first: beside, below, above, farther away (points)."""
    lefts = (x + AWAY, x - AWAY - width)
    shifts = (0.0, -HEIGHT, HEIGHT, -2 * HEIGHT, 2 * HEIGHT, -3 * HEIGHT, 3 * HEIGHT)
    half = HEIGHT / 2
    return [(a, y + dy - half, a + width, y + dy + half) for dy in shifts for a in lefts]


def _overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _speed(result: dict) -> float:
    return result["timing"]["images_per_second"]


def _foot(points: list[dict], results: list[dict], root: Path) -> str:
    return (
        f"Mean PSNR over {notes.crops(results, root)}, protocol {results[0]['protocol']}, with its "
        f"95 % interval over the crops.{notes.few(root)} "
        f"Timed on {notes.regions(points) or 'nothing'}."
    )
