"""Throughput as a figure: images/s of decoding over the batch size."""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, StrMethodFormatter

from msdd.report import timed
from msdd.report.style import COLOURS, GREY, SMALL, styled, wrapped

SIZE = (7.5, 4.8)  # inches
LINES = {"compiled": (0, (6, 1, 1, 1)), "fast": "-", "plain": (0, (1, 1.5))}
FILLS = {"compiled": "full", "fast": "left", "plain": "none"}  # for one batch, without a line
MARKERS = "oDs^vPX"  # one more than colours, so that pairs repeat late


def draw(document: dict) -> Figure:
    """A line for every variant of every system, and dashes where its arithmetic ends."""
    with styled():
        figure = Figure(SIZE, facecolor="white")
        axes = figure.add_axes((0.085, 0.215, 0.615, 0.735))
        _axes(axes, document["throughput"]["batches"])
        pairs = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
        for system, (colour, marker) in zip(document["systems"], pairs, strict=False):
            for variant, style in LINES.items():
                rows = timed.rows(document, system["system"], "decode", variant)
                if rows:
                    looks = {"marker": marker, "fillstyle": FILLS[variant]}
                    _line(axes, rows, color=colour, linestyle=style, **looks)
                    _bound(axes, document, system, rows[0]["precision"], colour)
        if axes.has_data():
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1), fontsize=8, labelcolor=GREY)
        foot = wrapped(_foot(document), SIZE[0] * 0.95)
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


def _line(axes: Axes, rows: list[dict], **looks: object) -> None:
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
    rate = document["ceilings"][precision]
    if rate:
        bound = rate / system["flops"]["decode"]
        axes.axhline(bound, xmin=0.94, color=colour, linestyle=(0, (3, 1)), linewidth=1)


def _foot(document: dict) -> str:
    origin, settings = document["context"], document["throughput"]
    return (
        f"Medians and quartiles of {settings['repeats']} rounds, all in turns, on "
        f"{origin['device']}, threads: {origin['threads']}. fast and compiled in "
        f"{settings['precision']}, plain in fp32. At batch 1 each image waits for the one before. "
        "Dashes at the right: the least arithmetic at the rate of a large product."
    )
