"""The tables as LaTeX: what is in them is escaped, and they compile."""

import shutil
import subprocess

import pytest

from msdd.pipeline import layout
from msdd.report.table import escape

DOCUMENT = r"""\documentclass{article}
\usepackage{array,booktabs,graphicx}
\begin{document}
\input{table1}\input{table2}\input{ablation}
\end{document}
"""


def test_text_is_escaped():
    assert escape("50% a_b #1 & $x") == r"50\% a\_b \#1 \& \$x"
    assert escape("\\~^|") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}\textbar{}"


@pytest.mark.parametrize("name", layout.TABLES)
def test_lines_have_as_many_cells_as_columns(hard_tables, name):
    text = (hard_tables / f"{name}.tex").read_text(encoding="utf-8")
    for part in text.split(r"\begin{tabular}")[1:]:
        lines = part.split(r"\end{tabular}")[0].replace(r"\&", "").splitlines()
        rows = [line for line in lines if line.endswith(r"\\") and "multicolumn" not in line]
        assert len(rows) > 3 and len({line.count("&") for line in rows}) == 1
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_tables_compile_in_a_minimal_document(hard_tables):
    (hard_tables / "document.tex").write_text(DOCUMENT)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    made = subprocess.run(command, cwd=hard_tables, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout[-2000:]
    assert "Undefined" not in made.stdout and "Missing character" not in made.stdout
