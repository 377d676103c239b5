"""Quality against speed: a point for every decode, a line for every baseline."""

import math
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from msdd.report import notes
from msdd.report.results import BASELINE_ROWS, ELSEWHERE, STUDENTS, TEACHERS, group
from msdd.report.style import COLOURS, GREY, SMALL, figure_style, save, wrap
from msdd.report.table import decimal

LOOKS = {
    TEACHERS: ("o", COLOURS[0]),
    STUDENTS: ("D", COLOURS[1]),
    ELSEWHERE: ("s", COLOURS[2]),
}
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
        for _, alike in groupby(lines, key=_psnr):
            _line(axes, list(alike))
        _points(axes, points)
        _labels(axes, points)
        foot = wrap(_foot(points, results, root), SIZE[0] * 0.95)
        figure.text(0.02, 0.02, foot, color=GREY, size=SMALL)
    save(figure, root, "quality_speed")
    return len(points)


def _axes(axes: Axes, lines: list[dict], points: list[dict]) -> None:
    """Set scales and limits; this comes first, because labels are placed by their points."""
    finite = _finite(result["metrics"]["psnr"] for result in lines + points)
    low, high = (min(finite), max(finite)) if finite else (0, 1)
    speeds = [_speed(result) for result in points] or [1]
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 3, max(speeds) * 3)  # room for labels on both sides
    room = 0.06 * (high - low) or 0.5
    infinite = _any_infinite(lines + points)
    axes.set_ylim(low - room, high + (3 if infinite else 1) * room)
    if infinite:
        _mark_infinity(axes, finite)
    axes.set_xlabel("images/s, decoding alone")
    axes.set_ylabel("PSNR (dB)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _finite(metrics: Iterable[dict]) -> list[float]:
    """PSNRs and the ends of their intervals, as far as they are finite."""
    values = [value for one in metrics for value in one.values() if value is not None]
    return [value for value in values if math.isfinite(value)]


def _mark_infinity(axes: Axes, finite: list[float]) -> None:
    """A tick for infinity; none for numbers where the axis does not show numbers."""
    ticks = [tick for tick in axes.get_yticks() if finite and tick <= max(finite)]
    labels = [f"{tick:g}" for tick in ticks]
    low, high = axes.get_ylim()
    axes.set_yticks([*ticks, _infinity(axes)], [*labels, "∞"])
    axes.set_ylim(low, high)


def _any_infinite(results: list[dict]) -> bool:
    return any(math.isinf(_psnr(result)) for result in results)


def _psnr(result: dict) -> float:
    return result["metrics"]["psnr"]["mean"]


def _height(axes: Axes, result: dict) -> float:
    """Where a PSNR stands on the axis."""
    return _infinity(axes) if math.isinf(_psnr(result)) else _psnr(result)


def _infinity(axes: Axes) -> float:
    """Where infinity stands: between the highest number and the upper edge."""
    low, high = axes.get_ylim()
    return high - 0.06 * (high - low)


def _line(axes: Axes, alike: list[dict]) -> None:
    """One line of baselines of the same PSNR."""
    height, where = _height(axes, alike[0]), axes.get_yaxis_transform()
    axes.axhline(height, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    names = ", ".join(result["decode"] for result in alike)
    text = f"{names} {decimal(_psnr(alike[0]), 2)} dB"
    axes.text(0.995, height, text, transform=where, ha="right", va="bottom", color=GREY, size=8)


def _points(axes: Axes, points: list[dict]) -> None:
    for kind, (marker, colour) in LOOKS.items():
        of_kind = [result for result in points if group(result) == kind]
        if kind == ELSEWHERE and not of_kind:
            continue
        x, y = [_speed(result) for result in of_kind], [_height(axes, one) for one in of_kind]
        pairs = [(_speed(result), result["metrics"]["psnr"]) for result in of_kind]
        known = [
            (speed, psnr["low"], psnr["high"]) for speed, psnr in pairs if psnr["low"] is not None
        ]
        axes.vlines(*(zip(*known, strict=True) if known else ([], [], [])), colour, lw=1)
        looks = {"s": 36, "color": colour, "marker": marker, "edgecolors": "white", "zorder": 3}
        axes.scatter(x, y, **looks, label=kind.lower())
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8, labelcolor=GREY)


def _labels(axes: Axes, points: list[dict]) -> None:
    """Write each label at the first free place beside its point, else at the least crowded one."""
    unit = axes.figure.dpi / 72
    where = [(_speed(result), _height(axes, result)) for result in points]
    spots = [tuple(spot / unit) for spot in axes.transData.transform(where)] if where else []
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for result, xy, (x, y) in zip(points, where, spots, strict=True):
        label = result["decode"] + " ∞ dB" * math.isinf(_psnr(result))
        boxes = places(x, y, LETTER * len(label))
        box = min(boxes, key=lambda box: sum(overlap(box, other) for other in taken))
        taken.append(box)
        side = 1 if box[0] > x else -1
        offset = (side * AWAY, (box[1] + box[3]) / 2 - y)
        style = {"size": 8, "va": "center", "ha": "left" if side > 0 else "right"}
        axes.annotate(label, xy, offset, textcoords="offset points", **style)


def places(x: float, y: float, width: float) -> list[Box]:
    """Places for the label of a point, best first: beside, below, above, farther away (points)."""
    lefts = (x + AWAY, x - AWAY - width)
    shifts = (0.0, -HEIGHT, HEIGHT, -2 * HEIGHT, 2 * HEIGHT, -3 * HEIGHT, 3 * HEIGHT)
    half = HEIGHT / 2
    return [(a, y + dy - half, a + width, y + dy + half) for dy in shifts for a in lefts]


def overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _speed(result: dict) -> float:
    return result["timing"]["images_per_second"]


def _foot(points: list[dict], results: list[dict], root: Path) -> str:
    return (
        f"Mean PSNR over {notes.crops(results, root)}, protocol {results[0]['protocol']}, with its "
        f"95 % interval {notes.redrawn(results)}.{notes.few(root)} "
        f"Timed on {notes.regions(points) or 'nothing'}."
        + " ∞, at the upper edge: some crops are reproduced exactly."
        * _any_infinite(results)
    )
