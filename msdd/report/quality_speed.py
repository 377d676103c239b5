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
FARTHEST = 16  # heights of labels from a point to its own

Box = tuple[float, float, float, float]  # left, bottom, right, top in points


def draw(results: list[dict], root: Path) -> int:
    """Write `reports/quality_speed.{png,svg}`; returns the number of decodes in it."""
    lines = [result for result in results if group(result) == BASELINE_ROWS]
    points = [result for result in results if group(result) != BASELINE_ROWS and result["timing"]]
    with figure_style():
        figure = Figure(SIZE, facecolor="white")
        axes = figure.add_axes((0.085, 0.205, 0.885, 0.725))
        _axes(axes, lines, points)
        taken = [_line(axes, list(alike)) for _, alike in groupby(lines, key=_psnr)]
        _points(axes, points)
        _labels(axes, points, taken)
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
    """PSNRs and the ends of their intervals, those that are finite."""
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
    """The height of a PSNR on the axis."""
    return _infinity(axes) if math.isinf(_psnr(result)) else _psnr(result)


def _infinity(axes: Axes) -> float:
    """The height at which infinity is drawn: between the highest number and the upper edge."""
    low, high = axes.get_ylim()
    return high - 0.06 * (high - low)


def _line(axes: Axes, alike: list[dict]) -> Box:
    """One line of baselines of the same PSNR; returns the place of its label."""
    height, where = _height(axes, alike[0]), axes.get_yaxis_transform()
    axes.axhline(height, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    names = ", ".join(result["decode"] for result in alike)
    text = f"{names} {decimal(_psnr(alike[0]), 2)} dB"
    axes.text(0.995, height, text, transform=where, ha="right", va="bottom", color=GREY, size=8)
    right, bottom = _spot(axes, axes.get_xlim()[1], height)
    return (right - LETTER * len(text), bottom, right, bottom + HEIGHT)


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


def _labels(axes: Axes, points: list[dict], taken: list[Box]) -> None:
    """Write each label at the first free place beside its point, else at the least crowded one."""
    where = [(_speed(result), _height(axes, result)) for result in points]
    spots = [_spot(axes, *point) for point in where]
    taken = [*taken, *outside(axes), *((x - 4, y - 4, x + 4, y + 4) for x, y in spots)]
    taken += [box for result in points for box in _bar(axes, result)]
    for result, xy, (x, y) in zip(points, where, spots, strict=True):
        label = result["decode"] + " ∞ dB" * math.isinf(_psnr(result))
        boxes = places(x, y, LETTER * len(label))
        box = min(boxes, key=lambda box: sum(overlap(box, other) for other in taken))
        taken.append(box)
        _label(axes, label, xy, box[0] > x, (box[1] + box[3]) / 2 - y)


def _label(axes: Axes, text: str, xy: tuple[float, float], right: bool, dy: float) -> None:
    """A label beside its point, with a line to it if another point may be as near."""
    style = {"size": 8, "va": "center", "ha": "left" if right else "right"}
    if abs(dy) > HEIGHT:
        near = {"relpos": (0 if right else 1, 0.5), "shrinkA": 1, "shrinkB": 3}
        style["arrowprops"] = {"arrowstyle": "-", "color": GREY, "lw": 0.5} | near
    offset = (AWAY if right else -AWAY, dy)
    axes.annotate(text, xy, offset, textcoords="offset points", **style)


def _spot(axes: Axes, speed: float, height: float) -> tuple[float, float]:
    """Where a point of the axes lies, in points of the figure."""
    x, y = axes.transData.transform((speed, height)) * 72 / axes.figure.dpi
    return x, y


def _bar(axes: Axes, result: dict) -> list[Box]:
    """What the interval of a point covers."""
    psnr = result["metrics"]["psnr"]
    if psnr["low"] is None or not math.isfinite(psnr["high"]):
        return []
    x, low = _spot(axes, _speed(result), psnr["low"])
    return [(x - 1, low, x + 1, _spot(axes, _speed(result), psnr["high"])[1])]


def outside(axes: Axes) -> list[Box]:
    """What lies beyond the figure, where a label would be cut off or make it wider."""
    width, height, far = axes.figure.get_figwidth() * 72, axes.figure.get_figheight() * 72, 1e4
    top = axes.get_position().y1 * height
    return [(-far, -far, 0, far), (width, -far, width + far, far), (-far, top, far, far)]


def places(x: float, y: float, width: float) -> list[Box]:
    """Places for the label of a point, best first: beside, below, above, farther away (points)."""
    lefts, half = (x + AWAY, x - AWAY - width), HEIGHT / 2
    shifts = [0.0, *(sign * k * HEIGHT for k in range(1, FARTHEST) for sign in (-1, 1))]
    return [(a, y + dy - half, a + width, y + dy + half) for dy in shifts for a in lefts]


def overlap(a: Box, b: Box) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _speed(result: dict) -> float:
    return result["timing"]["images_per_second"]


def _foot(points: list[dict], results: list[dict], root: Path) -> str:
    return (
        f"Mean PSNR over {notes.crops(results, root)}, protocol {results[0]['protocol']}, "
        f"{notes.psnr_interval(results)}.{notes.few(root)} "
        f"Timed on {notes.regions(points) or 'nothing'}."
        + " ∞, at the upper edge: some crops are reproduced exactly."
        * _any_infinite(results)
    )
