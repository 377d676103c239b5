"""How the figures look: quiet axes, colours that colour-blind readers can tell apart."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from msdd.files import atomic

INK, GREY, LIGHT = "#222222", "#777777", "#dddddd"
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]  # Okabe and Ito
RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures are the same everywhere
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
}


def styled():
    """A context in which new figures have this style."""
    return rc_context(RC)


def save(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a PNG whole, with nothing in it that changes from run to run."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=dpi, metadata={"Software": None})
