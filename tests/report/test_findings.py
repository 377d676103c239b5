"""The figures of docs/findings.md are those of the kept tables."""

from pathlib import Path

import findings_figures
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from msdd.report.style import figure_style

DOCS = Path(findings_figures.__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def kept():
    return pd.read_csv(findings_figures.KEPT / "table2.csv").set_index("decode")


@pytest.mark.parametrize("name", findings_figures.FIGURES)
def test_figures_are_those_of_the_kept_tables(name, kept, tmp_path):
    with figure_style():
        findings_figures.save(findings_figures.FIGURES[name](kept), tmp_path / f"{name}.png")
    drawn, shown = (
        np.asarray(Image.open(path).convert("L"), dtype=float)
        for path in (tmp_path / f"{name}.png", DOCS / f"findings-{name}.png")
    )
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 0.5  # letters may be smoothed differently
