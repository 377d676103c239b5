"""One table in three formats: CSV for programs, Markdown for reading, LaTeX for papers."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msdd.files import atomic, write_text

MISSING = "–"
TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
} | {character: "\\" + character for character in "&%$#_{}"}


@dataclass(frozen=True)
class Column:
    """How a column of the frame is shown.

    name: of the column in the frame. title: over the column; LaTeX breaks its lines. digits: after
    the point; None for text. interval: whether `<name>_low` and `<name>_high` stand beside it,
    where a row has them. marks: whether `<name>_marks` has letters of notes. unit: behind the
    number. width: of a text that LaTeX breaks into lines.
    """

    name: str
    title: str
    digits: int | None = None
    interval: bool = False
    marks: bool = False
    unit: str = ""
    width: str = ""

    def cell(self, row: pd.Series) -> str:
        """The text of a cell; a dash where the frame has nothing."""
        value = row[self.name]
        if pd.isna(value):
            return MISSING
        if self.digits is None:
            return str(value)
        text = self._number(value) + self.unit
        if self.interval and pd.notna(row[f"{self.name}_low"]):
            ends = [self._number(row[f"{self.name}_{end}"]) for end in ("low", "high")]
            text += " [" + ", ".join(ends) + "]"
        return text

    def mark(self, row: pd.Series) -> str:
        """Letters of the notes on a cell."""
        marks = row[f"{self.name}_marks"] if self.marks else None
        return "" if pd.isna(marks) else marks

    @property
    def heading(self) -> str:
        """The title in one line."""
        return self.title.replace("-\n", "-").replace("\n", " ")

    @property
    def spec(self) -> str:
        """How LaTeX sets it."""
        if self.width:
            return rf">{{\raggedright\arraybackslash}}p{{{self.width}}}"
        return "l" if self.digits is None else "r"

    def _number(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """A frame with one row a line of the table.

    columns: what is shown, in order; the CSV holds all columns of the frame in full precision.
    group: column of the frame whose value stands over the rows that share it; None for no groups.
    notes: sentences below the table, plain text.
    sources: column with the file each row comes from. Markdown shows it, LaTeX has it as comments.
    """

    frame: pd.DataFrame
    columns: Sequence[Column]
    caption: str
    notes: Sequence[str]
    group: str | None
    sources: str

    def markdown(self) -> str:
        # By hand: tabulate (pandas' `to_markdown`) would be given the same cells, sides and group
        # rows, so it would replace no more than `_pad`, and it marks columns of text by `:---`.
        columns = [*self.columns, Column(self.sources, "metrics file")]
        lines = [[column.heading for column in columns]]
        for group, rows in self._groups():
            if group:
                lines.append([f"**{group}**", *[""] * (len(columns) - 1)])
            lines += [[_markdown(column, row) for column in columns] for row in rows]
        right = [column.digits is not None for column in columns]
        widths = [max(3, *map(len, cells)) for cells in zip(*lines, strict=True)]
        rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right, strict=True)]
        lines.insert(1, rule)
        body = "\n".join(_pad(cells, widths, right) for cells in lines)
        return (
            f"{self.caption}\n\n{body}\n\n" + "\n".join(f"- {note}" for note in self.notes) + "\n"
        )

    def latex(self) -> str:
        """A `table` environment, shrunk to the line if it is too wide for it."""
        spec = "".join(column.spec for column in self.columns)
        lines = [_tex_line(map(_stacked, self.columns))]
        for group, rows in self._groups():
            lines.append(r"\midrule")
            if group:
                title = rf"\multicolumn{{{len(self.columns)}}}{{l}}{{\emph{{{escape(group)}}}}}"
                lines.append(title + r" \\")
            for row in rows:
                lines += [f"% {row[self.sources]}"] if pd.notna(row[self.sources]) else []
                lines.append(_tex_line(_tex_cell(column, row) for column in self.columns))
        notes = " ".join(escape(note) for note in self.notes)
        return "\n".join(
            [
                r"% needs \usepackage{array,booktabs,graphicx}",
                r"\begin{table}",
                r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
                rf"\caption{{{escape(self.caption)}}}\medskip",
                r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
                rf"\begin{{tabular}}{{@{{}}{spec}@{{}}}}",
                r"\toprule",
                *lines,
                r"\bottomrule",
                r"\end{tabular}}",
                rf"\par\medskip\begin{{minipage}}{{\linewidth}}{notes}\end{{minipage}}",
                r"\end{table}",
                "",
            ]
        )

    def _groups(self) -> Iterator[tuple[str, list[pd.Series]]]:
        if self.group is None:
            yield "", [row for _, row in self.frame.iterrows()]
            return
        for group, rows in self.frame.groupby(self.group, sort=False):
            yield str(group), [row for _, row in rows.iterrows()]


def write(stem: str | Path, *tables: Table) -> None:
    """Write `<stem>.csv`, `<stem>.md` and `<stem>.tex`: the tables one below the other.

    The CSV has the rows of all; where a table lacks a column of another, its cells are empty.
    """
    stem = Path(stem)
    frame = tables[0].frame if len(tables) == 1 else pd.concat([one.frame for one in tables])
    with atomic(stem.with_suffix(".csv")) as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    write_text(stem.with_suffix(".md"), "\n".join(table.markdown() for table in tables))
    write_text(stem.with_suffix(".tex"), "\n".join(table.latex() for table in tables))


def escape(text: str) -> str:
    """Text as LaTeX prints it literally."""
    return re.sub("|".join(map(re.escape, TEX)), lambda match: TEX[match[0]], text)


def _tex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _stacked(column: Column) -> str:
    side = "l" if column.digits is None else "r"
    lines = r" \\ ".join(map(escape, column.title.splitlines()))
    return rf"\shortstack[{side}]{{{lines}}}"


def _tex_cell(column: Column, row: pd.Series) -> str:
    """The interval of a figure in smaller letters, the letters of its notes raised."""
    figure, bracket, rest = column.cell(row).partition(" [")
    mark = column.mark(row)
    text = escape(figure) + (rf"\textsuperscript{{{mark}}}" if mark else "")
    return text + (rf"\,{{\tiny[{escape(rest)}}}" if bracket else "")


def _markdown(column: Column, row: pd.Series) -> str:
    mark = column.mark(row)
    text = column.cell(row).replace("|", r"\|")
    return f"{text}<sup>{mark}</sup>" if mark else text


def _pad(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    kinds = [">" if r else "<" for r in right]
    aligned = [f"{cell:{k}{w}}" for cell, k, w in zip(cells, kinds, widths, strict=True)]
    return "| " + " | ".join(aligned) + " |"
