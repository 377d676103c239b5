"""One table in four formats: CSV for programs, Markdown and HTML for reading, LaTeX for papers."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape as html_escape
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
    "∞": r"$\infty$",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
} | {character: "\\" + character for character in "&%$#_{}"}
# What every LaTeX prints of letters outside ASCII: accents that its oldest fonts can put together.
ACCENTS = "\u0300\u0301\u0302\u0303\u0308\u030a\u030c"
# Other characters: as they are where fonts are Unicode's, else by their number.
CHARACTERS = r"\providecommand{\msddcharacter}[2]{\ifdefined\Umathcode#1\else\texttt{#2}\fi}"
STYLE = """\
body { font: 14px/1.5 system-ui, sans-serif; color: #222; background: white; margin: 1.5em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 0.2em 0.7em; text-align: left; border-bottom: 1px solid #e4e4e4; }
caption { text-align: left; font-weight: bold; padding: 0.5em 0; }
thead th { border-bottom: 2px solid #888; vertical-align: bottom; }
tbody th { padding-top: 1em; font-style: italic; font-weight: normal; }
.number { text-align: right; }
small { color: #777; }
ul { max-width: 60em; margin-bottom: 3em; }
"""


def decimal(value: float, digits: int) -> str:
    """A number with so many digits after the point; infinity as its sign."""
    return f"{value:,.{digits}f}".replace("inf", "∞")


@dataclass(frozen=True)
class Column:
    """How a column of the frame is shown.

    name:     of the column in the frame.
    title:    over the column; LaTeX breaks its lines.
    digits:   after the decimal point; None for text.
    interval: show `<name>_low` and `<name>_high` too, where a row has them.
    marks:    show the letters of notes in `<name>_marks`.
    unit:     after the number.
    width:    of a column of text that LaTeX breaks into lines.
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
        text = self.number(value) + self.unit
        if self.interval and pd.notna(row[f"{self.name}_low"]):
            ends = [self.number(row[f"{self.name}_{end}"]) for end in ("low", "high")]
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
        """The column's specification in a LaTeX `tabular`."""
        if self.width:
            return rf">{{\raggedright\arraybackslash}}p{{{self.width}}}"
        return "l" if self.digits is None else "r"

    def number(self, value: float) -> str:
        return decimal(value, self.digits)


@dataclass(frozen=True)
class Table:
    """A frame, of which each row is a line of the table. Its column `file` says from which file a
    row comes; it is shown in Markdown and HTML, and a comment in LaTeX.

    columns: shown in this order; the CSV has all columns of the frame in full precision.
    notes:   sentences below the table, plain text.
    group:   column of the frame whose value is a heading over rows that share it, or None.
    """

    frame: pd.DataFrame
    columns: Sequence[Column]
    caption: str
    notes: Sequence[str]
    group: str | None = None

    def markdown(self) -> str:
        # By hand: tabulate (pandas' `to_markdown`) would be given the same cells, sides and group
        # rows, so it would replace no more than `_pad`, and it marks columns of text by `:---`.
        columns = self._with_sources()
        lines = [[column.heading for column in columns]]
        for group, rows in self.groups():
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

    def html(self) -> str:
        """A `table` element with its caption, and the notes below it as a list."""
        columns = self._with_sources()
        lines = []
        for group, rows in self.groups():
            if group:
                lines.append(f'<tr><th colspan="{len(columns)}">{html_escape(group)}</th></tr>')
            lines += [_html_line(_html_cell(column, row) for column in columns) for row in rows]
        return "\n".join(
            [
                f"<table>\n<caption>{html_escape(self.caption)}</caption>",
                f"<thead>\n{_html_line(map(_html_head, columns))}\n</thead>\n<tbody>",
                *lines,
                "</tbody>\n</table>\n<ul>",
                *(f"<li>{html_escape(note)}</li>" for note in self.notes),
                "</ul>\n",
            ]
        )

    def latex(self) -> str:
        """A `table` environment, shrunk to the line if it is too wide for it."""
        spec = "".join(column.spec for column in self.columns)
        lines = [_tex_line(map(_stacked_heading, self.columns))]
        for group, rows in self.groups():
            lines.append(r"\midrule")
            if group:
                title = rf"\multicolumn{{{len(self.columns)}}}{{l}}{{\emph{{{escape(group)}}}}}"
                lines.append(title + r" \\")
            for row in rows:
                lines += [f"% {row['file']}"] if pd.notna(row["file"]) else []
                lines.append(_tex_line(_tex_cell(column, row) for column in self.columns))
        notes = " ".join(escape(note) for note in self.notes)
        return "\n".join(
            [
                r"% To \input anywhere in a document with \usepackage{array,booktabs,graphicx}.",
                CHARACTERS,
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

    def _with_sources(self) -> list[Column]:
        return [*self.columns, Column("file", "metrics file")]

    def groups(self) -> Iterator[tuple[str, list[pd.Series]]]:
        if self.group is None:
            yield "", [row for _, row in self.frame.iterrows()]
            return
        for group, rows in self.frame.groupby(self.group, sort=False):
            yield str(group), [row for _, row in rows.iterrows()]


def write(stem: str | Path, *tables: Table) -> None:
    """Write `<stem>.csv`, `.html`, `.md` and `.tex`, with the tables one below the other.

    The CSV has the rows of all tables; cells of columns that a table does not have are empty.
    """
    stem = Path(stem)
    frame = tables[0].frame if len(tables) == 1 else pd.concat([one.frame for one in tables])
    with atomic(stem.with_suffix(".csv")) as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    write_text(stem.with_suffix(".html"), page(tables))
    write_text(stem.with_suffix(".md"), "\n".join(table.markdown() for table in tables))
    write_text(stem.with_suffix(".tex"), "\n".join(table.latex() for table in tables))


def page(tables: Sequence[Table]) -> str:
    """A whole HTML page that loads nothing else."""
    head = f'<meta charset="utf-8">\n<title>{html_escape(tables[0].caption)}</title>'
    body = "\n".join(table.html() for table in tables)
    return f'<!doctype html>\n<html lang="en">\n{head}\n<style>\n{STYLE}</style>\n{body}</html>\n'


def escape(text: str) -> str:
    """Text as LaTeX prints it literally, in one line; what its fonts lack by its number."""
    return "".join(map(_tex_character, " ".join(text.split())))


def _tex_character(character: str) -> str:
    if character in TEX or character.isascii() and character.isprintable():
        return TEX.get(character, character)
    letter, *accents = list(unicodedata.normalize("NFD", character))
    if letter.isascii() and letter.isalpha() and all(accent in ACCENTS for accent in accents):
        return character
    number = f"U+{ord(character):04X}"
    as_it_is = character if character.isprintable() else number
    return rf"\msddcharacter{{{as_it_is}}}{{{number}}}"


def _html_line(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _html_head(column: Column) -> str:
    title = "<br>".join(map(html_escape, column.title.splitlines()))
    return f"<th{_html_class(column)}>{title}</th>"


def _html_cell(column: Column, row: pd.Series) -> str:
    """The interval of a figure in smaller letters, the letters of its notes raised."""
    figure, bracket, rest = map(html_escape, column.cell(row).partition(" ["))
    mark = column.mark(row)
    text = figure + (f"<sup>{mark}</sup>" if mark else "")
    interval = f"<small>{bracket}{rest}</small>" if bracket else ""
    return f"<td{_html_class(column)}>{text}{interval}</td>"


def _html_class(column: Column) -> str:
    return "" if column.digits is None else ' class="number"'


def _tex_line(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    return "{}" + line if line.startswith(("[", "*")) else line  # no argument of the line before


def _stacked_heading(column: Column) -> str:
    side = "l" if column.digits is None else "r"
    lines = r" \\ ".join(map(escape, column.title.splitlines()))
    return rf"\shortstack[{side}]{{{lines}}}"


def _tex_cell(column: Column, row: pd.Series) -> str:
    """A cell with its interval in smaller letters and its notes' letters as superscript."""
    figure, bracket, rest = column.cell(row).partition(" [")
    mark = column.mark(row)
    text = escape(figure) + (rf"\textsuperscript{{{mark}}}" if mark else "")
    return text + (rf"\,{{\tiny[{escape(rest)}}}" if bracket else "")


def _markdown(column: Column, row: pd.Series) -> str:
    mark = column.mark(row)
    text = re.sub(r"[|<*`]", r"\\\g<0>", " ".join(column.cell(row).split()))
    return f"{text}<sup>{mark}</sup>" if mark else text


def _pad(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    kinds = [">" if r else "<" for r in right]
    aligned = [f"{cell:{k}{w}}" for cell, k, w in zip(cells, kinds, widths, strict=True)]
    return "| " + " | ".join(aligned) + " |"
