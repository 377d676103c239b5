"""Training curves: a chart of lines for stage 1, and one for each student."""

from pathlib import Path

from msdd.page.chart import Axis, label, thinned
from msdd.params.schema import Params
from msdd.report import curves

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 368, 26, 214
MOST_POINTS, MOST_PANELS = 200, 24


def panels(params: Params, root: Path) -> tuple[list[dict], int]:
    """The first charts, and how many more there would be."""
    drawn = {title: lines for title, lines in curves.panels(params, root).items() if lines}
    shown = [_panel(title, lines) for title, lines in list(drawn.items())[:MOST_PANELS]]
    return [panel for panel in shown if panel], max(0, len(drawn) - MOST_PANELS)


def _panel(title: str, lines: dict[str, curves.Curve]) -> dict | None:
    points = {
        name: thinned([(x, y) for x, y in zip(*line, strict=True) if y > 0], MOST_POINTS)
        for name, line in lines.items()
    }
    every = [point for line in points.values() for point in line]
    if not every:
        return None
    losses = [loss for _, loss in every]
    x = Axis(0, max(images for images, _ in every), LEFT, RIGHT)
    y = Axis(min(losses) / 1.05, max(losses) * 1.05, BOTTOM, TOP, log=True)
    return {
        "title": title,
        "size": (WIDTH, HEIGHT),
        "box": (LEFT, RIGHT, TOP, BOTTOM),
        "x": x.ticks(),
        "y": y.ticks(),
        "lines": [_line(name, line, x, y) for name, line in points.items()],
    }


def _line(name: str, points: list[tuple[int, float]], x: Axis, y: Axis) -> dict:
    last = f"{label(points[-1][0])} images: loss {points[-1][1]:.4g}" if points else ""
    return {
        "name": name,
        "last": last,
        "path": " ".join(f"{x.place(a)},{y.place(b)}" for a, b in points),
        "losses": " ".join(f"{a}:{b:.4g}" for a, b in points),
    }
