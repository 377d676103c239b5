r"""The figures of a table as macros for LaTeX: `\msdd{student-finetuned}{psnr}` in a text.

So a paper's sentences change with its tables. `write` makes a file to `\input` in the preamble.
"""

from pathlib import Path

import pandas as pd

from msdd.files import write_text
from msdd.report.table import CHARACTERS, Column, Table, escape

MACRO = r"""\providecommand{\msdd}[2]{%
  \ifcsname msdd/\detokenize{#1}/\detokenize{#2}\endcsname
    \csname msdd/\detokenize{#1}/\detokenize{#2}\endcsname
  \else\errmessage{msdd: no figure \detokenize{#2} of \detokenize{#1}}\fi}"""


def write(path: Path, table: Table, key: str) -> None:
    """Write a macro for every cell of `table` that has a value, except those of the column `key`,
    whose values are the names of the rows."""
    lines = [
        macro(row[key], name, value)
        for _, row in table.frame.iterrows()
        for column in table.columns
        if column.name != key
        for name, value in figures(column, row).items()
    ]
    head = r"% To \input in the preamble; in the text \msdd{row}{column}. Needs no package."
    write_text(path, "\n".join([head, CHARACTERS, MACRO, *lines, ""]))


def figures(column: Column, row: pd.Series) -> dict[str, str]:
    """The cell as the table shows it, without the interval, whose ends stand under
    `<column>_low` and `<column>_high`; nothing where the table has a dash."""
    if pd.isna(row[column.name]):
        return {}
    if not column.interval:
        return {column.name: column.cell(row)}
    shown, _, ends = column.cell(row).rstrip("]").partition(" [")
    names = [column.name, f"{column.name}_low", f"{column.name}_high"]
    return dict(zip(names, [shown, *ends.split(", ")], strict=False))  # without an interval: one


def macro(row: str, column: str, value: str) -> str:
    """The definition of one figure."""
    return rf"\expandafter\def\csname msdd/{row}/{column}\endcsname{{{escape(value)}}}"
