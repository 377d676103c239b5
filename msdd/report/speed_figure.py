"""The figure of what `throughput` has timed: images/s over the batch size."""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

from msdd.report import timings
from msdd.report.style import COLOURS, GREY, SMALL, figure_style, wrap
from msdd.speed.variants import RUNTIMES

SIZE = (7.5, 4.8)  # inches
LINES = {"compiled": (0, (6, 1, 1, 1)), "fast": "-", "plain": (0, (1, 1.5))}
LINES |= dict.fromkeys(RUNTIMES, (0, (4, 2)))
FILLS = {"compiled": "full", "fast": "left", "plain": "none"}  # for one batch, without a line
FILLS |= {name: "top" if "int8" in name else "bottom" for name in RUNTIMES}
MARKERS = "oDs^vPX"  # one more than colours, so that pairs repeat late


def draw(document: dict) -> Figure:
    """Images/s of decoding over the batch size: a line for every variant of every system.

    Dashes at the right edge show the speed that its arithmetic allows.
    """
    with figure_style():
        figure = Figure(SIZE, facecolor="white")
        axes = figure.add_axes((0.085, 0.215, 0.615, 0.735))
        _axes(axes, document["throughput"]["batches"])
        pairs = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
        for system, (colour, marker) in zip(document["systems"], pairs, strict=False):
            for variant, style in LINES.items():
                rows = timings.rows(document, system["system"], "decode", variant)
                if rows:
                    looks = {"marker": marker, "fillstyle": FILLS[variant]}
                    _curve(axes, rows, color=colour, linestyle=style, **looks)
                    _bound(axes, document, system, rows[0]["precision"], colour)
        if axes.has_data():
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1), fontsize=8, labelcolor=GREY)
            _widen(axes)
        foot = wrap(_foot(document), SIZE[0] * 0.95)
        figure.text(0.02, 0.02, foot, color=GREY, size=SMALL)
    return figure


def _axes(axes: Axes, batches: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(batches) / 1.3, max(batches) * 1.3)
    axes.set_xlabel("batch size")
    axes.set_ylabel("images/s, decoding")
    axes.xaxis.set_major_locator(FixedLocator(sorted(batches)))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
        axis.set_minor_locator(FixedLocator([]))


def _widen(axes: Axes) -> None:
    """Make the figure, not the axes, so wide that labels and the legend beside them are whole."""
    figure, place = axes.figure, axes.get_position()
    before = figure.get_figwidth()
    left = max(0.0, 0.1 - axes.yaxis.get_tightbbox().x0 / figure.dpi)  # inches
    after = left + max(before, axes.get_legend().get_window_extent().x1 / figure.dpi + 0.1)
    figure.set_figwidth(after)
    share = before / after
    axes.set_position(
        (place.x0 * share + left / after, place.y0, place.width * share, place.height)
    )


def _curve(axes: Axes, rows: list[dict], **looks: object) -> None:
    """The medians, with their quartiles as bars."""
    rows = sorted(rows, key=lambda row: row["batch"])
    batch, speed = ([row[name] for row in rows] for name in ("batch", "images_per_second"))
    below = [y - row["batch"] / row["seconds_high"] for y, row in zip(speed, rows, strict=True)]
    above = [row["batch"] / row["seconds_low"] - y for y, row in zip(speed, rows, strict=True)]
    label = f"{rows[0]['system']}, {rows[0]['variant']}"
    style = {"markersize": 5, "linewidth": 1.4, "elinewidth": 1, "label": label}
    axes.errorbar(batch, speed, yerr=(below, above), **style, **looks)


def _bound(axes: Axes, document: dict, system: dict, precision: str, colour: str) -> None:
    """Images/s at the rate that a large product reached, at the right edge."""
    rate, flops = document["ceilings"].get(precision), system["flops"]["decode"]
    if rate and flops:
        bound = rate / flops
        axes.axhline(bound, xmin=0.94, color=colour, linestyle=(0, (3, 1)), linewidth=1)


def _foot(document: dict) -> str:
    origin, settings = document["context"], document["throughput"]
    return (
        f"Medians and quartiles of {settings['repeats']} rounds, all in turns, on "
        f"{origin['device']}, threads: {origin['threads']}. fast and compiled in "
        f"{settings['precision']}, plain in fp32. At batch 1 each image waits for the one before. "
        "Dashes at the right: the speed at an MFU of 100 %."
    )
