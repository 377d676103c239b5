"""The style of all figures: quiet axes, and colours that colour-blind readers can tell apart."""

import textwrap
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from msdd.files import atomic
from msdd.pipeline import layout

INK, GREY, LIGHT = "#222222", "#777777", "#dddddd"
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]  # Okabe and Ito
SMALL = 7.5  # points, of the text below a figure
RC = {
    "font.family": "DejaVu Sans",  # is part of matplotlib, so figures are the same everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "svg.hashsalt": "msdd",  # else the names inside an SVG differ each time
}


def figure_style():
    """A context in which new figures have this style."""
    return rc_context(RC)


def save(figure: Figure, root: Path, name: str, dpi: int = 150) -> None:
    """Write one of `layout.FIGURES` as PNG and SVG."""
    save_as(figure, (root / layout.figure(name, "png")).with_suffix(""), dpi)


def save_as(figure: Figure, stem: Path, dpi: int = 150) -> None:
    """Write `<stem>.png` and `<stem>.svg`, without dates, so that equal figures are equal files."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
    with figure_style():
        for kind, empty in metadata.items():
            with atomic(stem.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=dpi, metadata=empty)


def wrap(text: str, inches: float) -> str:
    """The text in lines of `SMALL` letters that fit into a width in inches."""
    return textwrap.fill(text, max(20, int(inches * 72 / (0.52 * SMALL))))
