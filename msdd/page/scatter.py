"""Quality against speed: points of decodes, lines of baselines."""

import math

from msdd.page.chart import LETTER, Axis
from msdd.report.quality_speed import overlap, places
from msdd.report.results import BASELINE_ROWS, ELSEWHERE, STUDENTS, TEACHERS, group
from msdd.report.table import decimal

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 48, 748, 28, 372
KINDS = {TEACHERS: "teacher", STUDENTS: "student", ELSEWHERE: "elsewhere"}  # classes of the page
LABELLED = 25  # points at most of which each has a label


def draw(results: list[dict]) -> dict | None:
    """What the chart holds; None where nothing was timed."""
    points = [one for one in results if group(one) != BASELINE_ROWS and one["timing"]]
    lines = [one for one in results if group(one) == BASELINE_ROWS]
    known = [end for one in points for end in _ends(one)]
    if not known:
        return None
    # A baseline far from all decodes would leave them no room: it is told instead.
    far = [one for one in lines if _is_far(_psnr(one), min(known), max(known))]
    lines = [one for one in lines if one not in far]
    known += [_psnr(one) for one in lines if math.isfinite(_psnr(one))]
    room = 0.08 * (max(known) - min(known)) or 0.5
    infinite = any(math.isinf(_psnr(one)) for one in points + lines)
    top = max(known) + (3 if infinite else 1) * room
    speeds = [_speed(one) for one in points]
    x = Axis(min(speeds) / 2, max(speeds) * 2, LEFT, RIGHT, log=True)
    y = Axis(min(known) - room, top, BOTTOM, TOP)
    drawn = [_point(one, x, y) for one in points]
    drawn_lines = [{"y": _height(_psnr(one), y), "text": _name(one)} for one in lines]
    return {
        "size": (WIDTH, HEIGHT),
        "box": (LEFT, RIGHT, TOP, BOTTOM),
        "x": x.ticks(),
        "y": y.ticks(),
        "lines": drawn_lines,
        "far": [_name(one) for one in far],
        "points": _labelled(drawn, drawn_lines),
        "front": [(one["x"], one["y"]) for one in front(drawn)],
    }


def _psnr(result: dict) -> float:
    return result["metrics"]["psnr"]["mean"]


def _speed(result: dict) -> float:
    return result["timing"]["images_per_second"]


def _ends(result: dict) -> list[float]:
    """PSNR and the ends of its interval, those that are finite numbers."""
    values = result["metrics"]["psnr"].values()
    return [value for value in values if isinstance(value, float) and math.isfinite(value)]


def _height(psnr: float, y: Axis) -> float:
    """The height of a PSNR; infinity is drawn at the upper edge."""
    return y.place(psnr) if math.isfinite(psnr) else TOP + 8


def _name(result: dict) -> str:
    return f"{result['decode']} {decimal(_psnr(result), 2)} dB"


def _is_far(psnr: float, low: float, high: float) -> bool:
    """Farther from [low, high] than half of what these span."""
    room = max(1.0, (high - low) / 2)
    return math.isfinite(psnr) and not low - room <= psnr <= high + room


def _point(result: dict, x: Axis, y: Axis) -> dict:
    psnr, timing = result["metrics"]["psnr"], result["timing"]
    ends = [psnr["low"], psnr["high"]]
    known = all(end is not None and math.isfinite(end) for end in ends)
    interval = f" [{decimal(ends[0], 2)}, {decimal(ends[1], 2)}]" if known else ""
    passes = "" if result.get("nfe") is None else f", {result['nfe']} passes"
    return {
        "name": result["decode"],
        "kind": KINDS[group(result)],
        "x": x.place(_speed(result)),
        "y": _height(psnr["mean"], y),
        "label": None,
        "bar": [y.place(end) for end in ends] if known else None,
        "note": f"{decimal(psnr['mean'], 2)} dB{interval}, {_speed(result):,.4g} images/s "
        f"at batch {timing['batch']}{passes}",
    }


def front(points: list[dict]) -> list[dict]:
    """Those that no other point beats in quality and speed at once, slowest first."""
    best, kept = math.inf, []
    for point in sorted(points, key=lambda one: (-one["x"], one["y"])):
        if point["y"] < best:
            best = point["y"]
            kept.append(point)
    return kept[::-1]


def _labelled(points: list[dict], lines: list[dict]) -> list[dict]:
    """The points with a place for each label; of many points only those on the front get one."""
    chosen = points if len(points) <= LABELLED else front(points)
    # Axes of SVG go down, those of `places` up; for free room that is the same.
    taken = [(one["x"] - 5, one["y"] - 5, one["x"] + 5, one["y"] + 5) for one in points]
    taken += [(LEFT, one["y"] - 16, LEFT + LETTER * len(one["text"]), one["y"]) for one in lines]
    taken += [(LEFT, one["y"] - 1, RIGHT, one["y"] + 1) for one in lines]
    for point in chosen:
        boxes = places(point["x"], point["y"], LETTER * len(point["name"]))
        inside = [box for box in boxes if box[0] >= LEFT and box[2] <= RIGHT] or boxes
        box = min(inside, key=lambda box: sum(overlap(box, other) for other in taken))
        taken.append(box)
        right = box[0] > point["x"]
        point["label"] = (box[0] if right else box[2], (box[1] + box[3]) / 2, right)
    return points
