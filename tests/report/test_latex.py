"""The tables as LaTeX: what is in them is escaped, and they compile."""

import shutil
import subprocess

import pandas as pd
import pytest

from msdd.pipeline import layout
from msdd.report.table import escape

DOCUMENT = r"""\documentclass{article}
\usepackage{array,booktabs,graphicx}
\input{numbers}\input{numbers_ablation}
\begin{document}
\section{\msdd{student-finetuned}{psnr} dB (\msdd{student}{fd_efficientnet_lite0})}
\msdd{teacher}{psnr}--\msdd{teacher}{psnr_high}, \msdd{finetuning}{question}
\input{table1}\input{table2}\input{ablation}
\end{document}
"""


def test_text_is_escaped():
    assert escape("50% a_b #1 & $x") == r"50\% a\_b \#1 \& \$x"
    assert escape("two\nlines") == "two lines"
    assert escape("é ש") == r"é \msddcharacter{ש}{U+05E9}"
    assert escape("\\~^|") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}\textbar{}"


@pytest.mark.parametrize("name", layout.TABLES)
def test_lines_have_as_many_cells_as_columns(hard_tables, name):
    text = (hard_tables / f"{name}.tex").read_text(encoding="utf-8")
    for part in text.split(r"\begin{tabular}")[1:]:
        lines = part.split(r"\end{tabular}")[0].replace(r"\&", "").splitlines()
        rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
        assert len(rows) > 3 and len({line.count("&") for line in rows}) == 1
    assert text.count("{") == text.count("}")


def test_a_macro_has_what_the_table_shows(hard_tables):
    text = (hard_tables / "numbers.tex").read_text(encoding="utf-8")
    table = pd.read_csv(hard_tables / "table2.csv", index_col="decode")
    psnr = table.loc["student-finetuned", ["psnr", "psnr_low", "psnr_high"]]
    for column, value in psnr.items():
        definition = rf"\csname msdd/student-finetuned/{column}\endcsname{{{value:.2f}}}"
        assert f"{definition}\n" in text
    assert "/mean-colour/speed_ratio" not in text and "–" not in text  # where the table has a dash


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_tables_and_macros_compile_in_a_minimal_document(hard_tables):
    made = compiled(hard_tables, DOCUMENT)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Undefined" not in made.stdout and "Missing character" not in made.stdout


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_a_figure_that_is_not_there_is_an_error(hard_tables):
    made = compiled(hard_tables, DOCUMENT.replace("{psnr_high}", "{psnr_hihg}"))
    assert made.returncode and "msdd: no figure psnr_hihg of teacher" in made.stdout


def compiled(folder, document):
    (folder / "document.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=300
    )
