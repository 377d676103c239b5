"""Table 2: multi-scale teachers against one-step students, over scale counts.

The table is a function of its input files and of nothing else, so the same files give the same
bytes. Speed comes from `reports/throughput.json` and the `.timing.json` files, which are measured
anew; its columns stand last, and all others repeat to the byte.
"""

from pathlib import Path

import pandas as pd

from msdd.flow.steps import nfe
from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.report import notes, numbers
from msdd.report.metric_columns import metric_columns, metrics, per_scale, speed
from msdd.report.results import (
    GROUPS,
    STUDENTS,
    TEACHERS,
    group,
    psnr_difference,
    read,
    recorded,
    timing_files,
    training,
)
from msdd.report.table import Column, Table, write

FLOOR = "mean-colour"
SAME_REGION = ("device", "threads", "precision", "batch")  # of two timings, for a ratio


def run(params: Params, root: Path) -> dict[str, float]:
    """Write `reports/table2.{csv,html,md,tex}` and `numbers.tex`; returns the PSNR of every row."""
    with recorded("table2", params, root, timing_files(params)):
        made = table(params, read(params, root, timing_files(params)), root)
        write(root / layout.table("table2", "csv").with_suffix(""), made)
        numbers.write(root / layout.numbers("table2"), made, "decode")
    names = [f"psnr/{row}" for row in made.frame["decode"]]
    return dict(zip(names, made.frame["psnr"], strict=True))


def table(params: Params, results: list[dict], root: Path) -> Table:
    """A line for each of the evaluations `results`, in groups, fewer scales first."""
    by_scales = sorted(results, key=lambda result: (_rank(result), _scales(result)))
    rows = [_row(result, results, params) for result in by_scales]
    frame = pd.DataFrame(rows).astype({"nfe": "Int64"})
    return Table(frame, _columns(frame), _caption(results), _notes(results, root), "group")


def _rank(result: dict) -> int:
    return GROUPS.index(group(result))


def _scales(result: dict) -> int:
    return len(result.get("scales") or [])


def _row(result: dict, results: list[dict], params: Params) -> dict:
    """A line of the table."""
    other = _against(result, results)
    return {
        "group": group(result),
        "decode": result["decode"],
        "model": result.get("model"),
        "training": training(result, params),
        "scales": per_scale(result.get("scales")),
        "steps": per_scale(result.get("steps")),
        "guidance": per_scale(result.get("guidance"), short=True),
        "nfe": result.get("nfe") or None,
        "images": result["images"],
        "protocol": result["protocol"],
        **metrics(result),
        **_difference(result, results),
        "nfe_ratio": _nfe_ratio(result, other),
        "file": result["file"],
        **speed(result),
        "speed_ratio": _ratio(result["timing"], other["timing"]) if other else None,
        "speed_against": other["decode"] if other else None,
    }


def _difference(result: dict, results: list[dict]) -> dict[str, float | None]:
    """PSNR minus that of the mean colour on the same images, with the interval of the pairs."""
    floor = next((other for other in results if other["decode"] == FLOOR), result)
    if result is floor:
        return {"psnr_gain": None, "psnr_gain_low": None, "psnr_gain_high": None}
    mean, low, high = psnr_difference(result, floor)
    return {"psnr_gain": mean, "psnr_gain_low": low, "psnr_gain_high": high}


def _against(result: dict, results: list[dict]) -> dict | None:
    """The teacher that a row's speed is compared with.

    For a student the first decode of its model; for a teacher of several scales one at full
    resolution alone that takes as many steps, guided alike.
    """
    teachers = [other for other in results if group(other) == TEACHERS]
    if group(result) == STUDENTS:
        matches = (other for other in teachers if other["model"] == result["model"])
    elif group(result) == TEACHERS and _scales(result) > 1:
        matches = (
            other for other in teachers if _scales(other) == 1 and _same_budget(other, result)
        )
    else:
        return None
    return next(matches, None)


def _same_budget(a: dict, b: dict) -> bool:
    return sum(a["steps"]) == sum(b["steps"]) and a["nfe"] == b["nfe"]


def _nfe_ratio(result: dict, other: dict | None) -> str | None:
    """The student's gain by arithmetic: its teacher's passes for each of its own, at equal sizes.

    Passes of unequal sizes do not add up, so scales that save unequally give a range: the gain is
    between the smallest and the largest.
    """
    if other is None or group(result) != STUDENTS:
        return None
    pairs = zip(_passes(other), _passes(result), strict=True)
    ratios = sorted({round(theirs / own, 1) for theirs, own in pairs})
    return "–".join(f"{ratio:g}" for ratio in (ratios[0], ratios[-1])[: len(ratios)]) + "×"


def _passes(result: dict) -> list[int]:
    """Evaluations of the network at each scale; a guided step costs two."""
    pairs = zip(result["steps"], result["guidance"], strict=True)
    return [nfe([steps], [guidance]) for steps, guidance in pairs]


def _ratio(timing: dict, teacher: dict) -> float | None:
    """How many times faster; only timings taken in the same way compare."""
    if not (timing and teacher and _comparable(timing, teacher)):
        return None
    return timing["images_per_second"] / teacher["images_per_second"]


def _comparable(a: dict, b: dict) -> bool:
    """Taken in turns in one run, each at its best batch; else in the same region."""
    if "run" in a or "run" in b:
        return a.get("run") == b.get("run")
    return all(a.get(name) == b.get(name) for name in SAME_REGION)


def _columns(frame: pd.DataFrame) -> list[Column]:
    return [
        Column("decode", "decode"),
        Column("training", "training"),
        Column("scales", "scales\n(px)"),
        Column("steps", "steps"),
        Column("guidance", "guidance"),
        Column("nfe", "passes\n(NFE)", 0),
        Column("psnr", "PSNR ↑", 2, interval=True),
        Column("psnr_gain", "Δ to mean\ncolour", 2, interval=True),
        *metric_columns(frame).values(),
        Column("images_per_second", "images/s", 1),
        Column("speed_ratio", "speed-\nup", 1, unit="×"),
        Column("nfe_ratio", "by\npasses"),
        Column("speed_against", "over"),
    ]


def _caption(results: list[dict]) -> str:
    protocols = ", ".join(sorted({result["protocol"] for result in results}))
    return (
        "Reconstruction of held-out crops: the multi-scale diffusion decoder (teacher) "
        f"against its one-step students. Protocol: {protocols}."
    )


def _notes(results: list[dict], root: Path) -> list[str]:
    return [
        notes.intervals(results, root),
        *notes.infinity(results),
        "Δ: difference in PSNR (dB) to filling each crop with its mean colour, paired per crop.",
        "passes (NFE): evaluations of the network for one image; guidance counts twice. Passes at "
        "a coarse scale cost less than at a fine one.",
        "speed-up: of a student over the teacher named, the first decode of its model; of a "
        "teacher over one that takes as many steps at full resolution alone, where there is one. "
        "by passes: the same for a student by arithmetic alone, from the passes at each scale; a "
        "range where the scales save unequally.",
        *notes.kernel_distance(results),
        *notes.speed(results),
    ]
