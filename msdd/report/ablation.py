"""The ablation table: two decodes of the same images against each other, and a verdict.

The verdict is read from the 95 % interval of the paired difference in PSNR, nothing else.
"""

import math
from pathlib import Path

import pandas as pd

from msdd.metrics.intervals import MaybeInterval
from msdd.params.schema import Ablation, Params
from msdd.pipeline import layout
from msdd.report import jumps, notes, numbers
from msdd.report.results import difference, psnr_difference, read, recorded
from msdd.report.table import Column, Table, write

AS_EXPECTED, NOT, OPEN = "as expected", "not as expected", "cannot tell"
EQUAL = 0.2  # dB within which two decodes count as equal
CAPTION = "Ablations: two decodes of the same held-out crops, and whether they differ as expected."


def run(params: Params, root: Path) -> dict[str, float]:
    """Write `reports/ablation.{csv,html,md,tex}` and `numbers_ablation.tex`; returns the difference
    in PSNR of every row."""
    with recorded("ablation", params, root):
        results = read(params, root)
        made = table(params, results, root)
        write(root / layout.table("ablation", "csv").with_suffix(""), made, *jumps.tables(results))
        numbers.write(root / layout.numbers("ablation"), made, "row")
    names = [f"psnr/{row}" for row in made.frame["row"]]
    return dict(zip(names, made.frame["psnr_difference"], strict=True))


def table(params: Params, results: list[dict], root: Path) -> Table:
    """A line for every row of `ablations`, of the evaluations `results`."""
    frame = rows(params, {result["decode"]: result for result in results})
    return Table(frame, _columns(params), CAPTION, _notes(results, root))


def rows(params: Params, named: dict[str, dict]) -> pd.DataFrame:
    """A line for every row of `ablations`; `named` has the evaluations by decode."""
    made = [
        _row(name, row, named[row.of], named[row.against], params)
        for name, row in params.ablations.items()
    ]
    shown = [column.name for column in _columns(params)]
    frame = pd.DataFrame(made) if made else pd.DataFrame(columns=["part", *shown, "file"])
    return frame.astype({"nfe_of": "Int64", "nfe_against": "Int64"})


def _row(name: str, row: Ablation, of: dict, against: dict, params: Params) -> dict:
    told = _cells("psnr", psnr_difference(of, against))
    line = {"part": "comparison", "row": name, "question": row.question}
    for side, result in (("of", of), ("against", against)):
        line[side] = result["decode"]
        line[f"psnr_{side}"] = result["metrics"]["psnr"]["mean"]
        line[f"nfe_{side}"] = result.get("nfe")
    for trunk in params.evaluate.lpips[:1]:
        told |= _lpips(of, against, f"lpips_{trunk}")
    ends = told["psnr_difference_low"], told["psnr_difference_high"]
    outcome = {"expect": row.expect, "verdict": verdict(row.expect, *ends)}
    return {**line, **told, **outcome, "file": f"{of['file']}; {against['file']}"}


def _lpips(of: dict, against: dict, metric: str) -> dict[str, float | None]:
    """The mean over images of `of` minus `against`; nothing where the protocol has no LPIPS."""
    if metric not in of["per_image"]:
        return _cells(metric, (None, None, None))
    return _cells(metric, difference(metric, of, against))


def _cells(metric: str, ends: MaybeInterval) -> dict[str, float | None]:
    """Columns of a difference, and of the ends of its interval."""
    name = f"{metric}_difference"
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def verdict(expect: str | None, low: float | None, high: float | None) -> str:
    """What the 95 % interval [low, high] of a difference (dB) says about an expectation.

    `equal` holds where the whole interval lies within 0.2 dB of 0 and fails where all of it lies
    outside. Without an expectation the direction itself is told.
    """
    if low is None or math.isnan(low):  # one group of images; infinities that cancel out
        return OPEN
    if expect == "equal":
        within, apart = max(-low, high) <= EQUAL, low > EQUAL or high < -EQUAL
        return AS_EXPECTED if within else NOT if apart else OPEN
    if low <= 0 <= high:
        return OPEN
    direction = "better" if low > 0 else "worse"
    if expect is None:
        return direction
    return AS_EXPECTED if direction == expect else NOT


def _columns(params: Params) -> list[Column]:
    lpips = [
        Column(f"lpips_{trunk}_difference", f"Δ LPIPS\n{trunk} ↓", 3, interval=True)
        for trunk in params.evaluate.lpips[:1]
    ]
    return [
        Column("row", "ablation"),
        Column("question", "question", width="4.5cm"),
        Column("of", "decode"),
        Column("against", "against"),
        Column("nfe_of", "passes\n(NFE)", 0),
        Column("nfe_against", "against", 0),
        Column("psnr_of", "PSNR ↑", 2),
        Column("psnr_against", "against", 2),
        Column("psnr_difference", "Δ PSNR ↑", 2, interval=True),
        *lpips,
        Column("expect", "expected"),
        Column("verdict", "verdict"),
    ]


def _notes(results: list[dict], root: Path) -> list[str]:
    return [
        notes.intervals(results, root),
        *notes.infinity(results),
        "Δ: decode minus the one against it, paired per crop. Better is a larger PSNR.",
        "verdict: from the interval of Δ PSNR alone. It cannot tell if the interval holds 0; "
        f"equal means an interval within {EQUAL} dB of 0. Without an expectation the direction "
        "stands there.",
        "Each model and student was trained once, with one seed: an interval over images does not "
        "hold what another training would give.",
    ]
