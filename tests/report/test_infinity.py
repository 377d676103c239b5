"""Crops that are reproduced exactly, in every table and figure."""

import finished_pipeline as pipeline
import pandas as pd
import pytest
from matplotlib.figure import Figure

from msdd.pipeline import layout
from msdd.report import ablation, figures, quality_speed, table1, table2
from msdd.report.results import paths, read

COLOUR = layout.baseline("mean-colour")
STUDENT = layout.evaluation("msdd", "msdd-1step", "student")
FINETUNED = layout.evaluation("msdd", "msdd-finetuned", "student-finetuned")


def rows(root, name: str, key: str) -> pd.DataFrame:
    return pd.read_csv(root / layout.table(name, "csv")).set_index(key)


def text(root, name: str, kind: str = "md") -> str:
    return (root / layout.table(name, kind)).read_text(encoding="utf-8")


def run_all(params, root) -> None:
    for stage in (table1, table2, ablation, figures):
        stage.run(params, root)


def line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {start} "))


@pytest.mark.parametrize("exact", [range(1), range(pipeline.IMAGES)])
def test_a_baseline(finished, exact):
    """One of 40 crops gives differences that may be finite in a resample, all never."""
    params, root = finished
    pipeline.reproduce(root, COLOUR, exact)
    run_all(params, root)
    table = rows(root, "table2", "decode")
    assert table.loc["mean-colour", "psnr"] == float("inf")
    assert table.loc["student", "psnr_gain"] == float("-inf")
    assert (table.loc["student", "psnr_gain_high"] > 0) == (len(exact) == 1)
    for name in ("table1", "table2"):
        for kind in ("md", "html", "tex"):
            shown = text(root, name, kind)
            assert "nan" not in shown and "inf " not in shown and "inf]" not in shown
            assert (r"$\infty$" if kind == "tex" else "∞") in shown
    assert "∞: some crops are reproduced exactly" in text(root, "table2")


def test_all_that_a_student_makes(finished):
    """Surely better than what makes none exact; the interval of the difference says so."""
    params, root = finished
    pipeline.reproduce(root, FINETUNED, range(pipeline.IMAGES))
    run_all(params, root)
    found = rows(root, "ablation", "row").loc["finetuning"]
    assert found["psnr_difference"] == found["psnr_difference_low"] == float("inf")
    assert found["verdict"] == "as expected"
    assert "∞ [∞, ∞]" in line(text(root, "ablation"), "finetuning")


def test_different_crops_on_both_sides_leave_no_difference(finished):
    params, root = finished
    pipeline.reproduce(root, FINETUNED, range(1))
    pipeline.reproduce(root, STUDENT, range(1, 2))
    run_all(params, root)
    found = rows(root, "ablation", "row").loc["finetuning"]
    assert pd.isna(found["psnr_difference"]) and found["verdict"] == "cannot tell"
    shown = text(root, "ablation")
    assert " – " in line(shown, "finetuning") and "each side reproduces crops" in shown


def drawn(root, params, monkeypatch) -> Figure:
    shown = []
    monkeypatch.setattr(quality_speed, "save", lambda figure, *_: shown.append(figure))
    assert quality_speed.draw(read(params, root), root) == 6
    return shown[0]


@pytest.mark.parametrize("everything", [False, True])
def test_the_figure_has_a_place_for_it(finished, monkeypatch, everything):
    params, root = finished
    for path in paths(params) if everything else (COLOUR, FINETUNED):
        pipeline.reproduce(root, path, range(pipeline.IMAGES))
    (axes,) = drawn(root, params, monkeypatch).axes
    low, high = axes.get_ylim()
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert labels[-1] == "∞" and (len(labels) == 1) == everything
    infinite = axes.get_yticks()[-1]
    assert low < infinite < high
    said = {text.get_text(): text for text in axes.texts}
    assert "student-finetuned ∞ dB" in said
    assert ("mean-colour, bicubic ∞ dB" if everything else "mean-colour ∞ dB") in said
    points = [tuple(xy) for part in axes.collections for xy in part.get_offsets()]
    assert (84.0, infinite) in points


def test_baselines_that_are_equal_share_a_line(finished, monkeypatch):
    params, root = finished
    for name in ("mean-colour", "bicubic"):
        pipeline.reproduce(root, layout.baseline(name), range(1))
    (axes,) = drawn(root, params, monkeypatch).axes
    assert [text.get_text() for text in axes.texts][0] == "mean-colour, bicubic ∞ dB"
