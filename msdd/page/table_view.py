"""A table of the reports as the page shows it: cells with what a reader may ask of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from msdd.report.table import Column, Table

ABOUT = {  # what a column is, by the start of its name
    "psnr_gain": "PSNR minus that of each crop's mean colour, in dB, paired per crop.",
    "psnr_difference": "PSNR of the decode minus that of the one against it, in dB, paired per "
    "crop.",
    "psnr_hvs": "PSNR of luma, weighed by what eyes see, in dB, mean over the images; larger is "
    "better. M: what the contrast of a block hides is left out.",
    "psnr": "Peak signal-to-noise ratio in dB, mean over the images; larger is better.",
    "ssim": "Structural similarity, mean over the images; 1 is equal.",
    "lpips": "Perceptual distance by a network, mean over the images; smaller is better.",
    "dreamsim": "Perceptual distance of DreamSim; smaller is better.",
    "rfid": "Published Fréchet distance on Inception features; smaller is better.",
    "fd": "Fréchet distance between features of the originals and of the reconstructions; smaller "
    "is better. It depends on how many images there are.",
    "kd": "Kernel distance between features; smaller is better.",
    "nfe": "Evaluations of the network for one image; guidance counts twice.",
    "images_per_second": "Speed of decoding alone; it varies from run to run.",
    "speed_ratio": "Images/s over those of the decode named beside it.",
    "nfe_ratio": "The same gain by counting passes alone.",
    "parameters": "Numbers that the networks hold.",
    "mfu": "Rate of the decoder's matrix products, as a share of a large product's here.",
}


@dataclass(frozen=True)
class Cell:
    """The content of a cell.

    value:    number to sort by, in full precision; None for text, and where nothing is known
    interval: the ends of the 95 % interval, as text
    marks:    letters of notes
    note:     what else is known of the figure, such as its source
    """

    text: str
    value: float | None
    interval: str
    marks: str
    note: str


@dataclass(frozen=True)
class Head:
    """A column: its title in lines, whether it holds numbers or long texts, and what it is."""

    lines: list[str]
    number: bool
    wide: bool
    about: str


@dataclass(frozen=True)
class Row:
    """A line: the first cell is its name. `about`: file and protocol behind its figures.
    `verdict`: better or worse, where the table has such verdicts."""

    cells: list[Cell]
    about: str
    verdict: str


@dataclass(frozen=True)
class TableView:
    """A table: `groups` are pairs of a heading, empty where there is none, and its rows."""

    name: str
    caption: str
    heads: list[Head]
    groups: list[tuple[str, list[Row]]]
    notes: Sequence[str]

    @property
    def count(self) -> int:
        return sum(len(rows) for _, rows in self.groups)


def view(name: str, table: Table) -> TableView:
    """`name` is that of its element, unique on the page."""
    letters = _letters(table.notes)
    groups = [
        (group, [_row(table, row, letters) for row in rows]) for group, rows in table.groups()
    ]
    heads = [_head(column) for column in table.columns]
    return TableView(name, table.caption, heads, groups, table.notes)


def _head(column: Column) -> Head:
    number, wide = column.digits is not None, bool(column.width)
    return Head(column.title.splitlines(), number, wide, described(column.name))


def described(name: str) -> str:
    """What the page says of a column, from its name: the entry of `ABOUT` whose key is the longest
    beginning of it; empty without one."""
    matches = [key for key in ABOUT if name == key or name.startswith(f"{key}_")]
    return ABOUT[max(matches, key=len)] if matches else ""


def _row(table: Table, row: pd.Series, letters: dict[str, str]) -> Row:
    source = row.get("file")
    protocol = row.get("protocol")
    parts = [f"protocol {protocol}" if pd.notna(protocol) else "", source]
    about = ", ".join(str(part) for part in parts if pd.notna(part) and part)
    verdict = row.get("verdict")
    cells = [_cell(column, row, letters) for column in table.columns]
    return Row(cells, about, verdict if verdict in ("better", "worse") else "")


def _cell(column: Column, row: pd.Series, letters: dict[str, str]) -> Cell:
    figure, bracket, rest = column.cell(row).partition(" [")
    known = column.digits is not None and pd.notna(row[column.name])
    marks = column.mark(row)
    return Cell(
        text=figure,
        value=float(row[column.name]) if known else None,
        interval=bracket.strip() + rest,
        marks=marks,
        note=" ".join(_note(column, row, marks, letters)),
    )


def _note(column: Column, row: pd.Series, marks: str, letters: dict[str, str]) -> list[str]:
    """The source of a published figure, the hidden interval of a measured one, and its caveats."""
    source, low = row.get(f"{column.name}_source"), row.get(f"{column.name}_low")
    lines = [f"Published: {source}."] if pd.notna(source) and source else []
    if pd.notna(low) and not column.interval:
        ends = [column.number(row[f"{column.name}_{end}"]) for end in ("low", "high")]
        lines.append(f"95 % interval [{', '.join(ends)}].")
    return [*lines, *(f"{mark}: {letters[mark]}" for mark in marks.split(",") if mark in letters)]


def _letters(notes: Sequence[str]) -> dict[str, str]:
    """The notes that a letter stands for."""
    pairs = [note.partition(": ") for note in notes]
    return {mark: text for mark, _, text in pairs if len(mark) == 1}
