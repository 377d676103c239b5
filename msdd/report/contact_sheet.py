"""Contact sheets of small images, each enlarged by a whole factor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from msdd.report.style import GREY, SMALL, figure_style, wrap

CELL, GAP, BLOCK, MARGIN, HEAD, LINE, LETTER = 128, 6, 18, 16, 36, 15, 9  # pixels
DPI = 100
COLUMNS = 8

Label = tuple[str, str]  # in bold, and in grey below it


@dataclass(frozen=True)
class Sheet:
    """Rows of uint8 images (H, W, 3), each enlarged by nearest neighbour to the same square.

    The largest side must be a multiple of all others. names: beside the rows. heads: over the
    columns; a bold one begins a block of columns and may extend over it. captions: one below every
    image.
    """

    rows: Sequence[Sequence[np.ndarray]]
    foot: str
    names: Sequence[Label] = field(default=())
    heads: Sequence[Label] = field(default=())
    captions: Sequence[Sequence[str]] = field(default=())

    @property
    def pitch(self) -> int:
        """Distance in pixels from one row to the next."""
        return self.cell + GAP + (LINE if self.captions else 0)

    @property
    def cell(self) -> int:
        side = max(len(image) for row in self.rows for image in row)
        return side * max(1, math.ceil(CELL / side))

    @property
    def left(self) -> int:
        """Where the first column begins."""
        longest = max((len(name) + 1 for name, _ in self.names), default=0)
        return MARGIN + (LETTER * max(14, longest) if self.names else 0)

    @property
    def top(self) -> int:
        """Where the first row begins."""
        return MARGIN + (HEAD if self.heads else 0)

    @property
    def width(self) -> int:
        return self._x(len(self.rows[0]) - 1) + self.cell + MARGIN

    def draw(self) -> Figure:
        foot = wrap(self.foot, (self.width - 2 * MARGIN) / DPI)
        below = LINE * (foot.count("\n") + 1) + MARGIN
        height = self.top + len(self.rows) * self.pitch + below
        with figure_style():
            size = (self.width / DPI, height / DPI)
            page = _Page(Figure(size, dpi=DPI, facecolor="white"), self.width, height)
            self._images(page)
            self._labels(page)
            page.text(MARGIN, height - MARGIN / 2, foot, va="bottom", color=GREY, size=SMALL)
        return page.figure

    def _images(self, page: "_Page") -> None:
        for row, images in enumerate(self.rows):
            for column, image in enumerate(images):
                page.image(self._x(column), self._y(row), self.cell, image)

    def _labels(self, page: "_Page") -> None:
        for row, label in enumerate(self.names):
            page.label(MARGIN, self._y(row) + self.cell / 2, label)
        for column, label in enumerate(self.heads):
            page.label(self._x(column), MARGIN + HEAD / 2 - 3, label)
        for row, texts in enumerate(self.captions):
            for column, text in enumerate(texts):
                page.label(self._x(column), self._y(row) + self.cell, ("", text))

    def _x(self, column: int) -> int:
        blocks = sum(bool(bold) for bold, _ in self.heads[1 : column + 1])
        return self.left + column * (self.cell + GAP) + blocks * BLOCK

    def _y(self, row: int) -> int:
        return self.top + row * self.pitch


@dataclass(frozen=True)
class _Page:
    """A figure addressed in pixels from its upper left corner."""

    figure: Figure
    width: int
    height: int

    def text(self, x: float, y: float, text: str, **style: object) -> None:
        # a name of a file may hold dollars, which are no formula
        place = (x / self.width, 1 - y / self.height)
        self.figure.text(*place, text, parse_math=False, **style)

    def label(self, x: float, y: float, label: Label) -> None:
        """The bold line ends and the grey one begins at y; a bold one alone is centred there."""
        bold, grey = label
        self.text(x, y, bold, va="bottom" if grey else "center", weight="bold")
        self.text(x, y + 2, grey, va="top", color=GREY, size=8)

    def image(self, x: int, y: int, side: int, image: np.ndarray) -> None:
        bottom = self.height - y - side
        box = (x / self.width, bottom / self.height, side / self.width, side / self.height)
        axes = self.figure.add_axes(box)
        # `none`, not `nearest`: the same in a PNG, and an SVG holds the pixels as they are
        axes.imshow(image, interpolation="none", aspect="auto")
        axes.set_axis_off()


def spread(count: int, most: int = COLUMNS) -> np.ndarray:
    """Indices of at most `most` of `count` samples, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
