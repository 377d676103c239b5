"""Table 1: tokenizers as published, and as measured here, never one in place of the other.

Published numbers come from `reports/published.yaml`, measured ones from files of evaluations and
timings. They are in separate groups, and distances in separate columns: a published rFID does not
compare with a distance on other features or other images.
"""

from pathlib import Path

import pandas as pd

from msdd.params.schema import Params
from msdd.pipeline import layout
from msdd.report import notes, other_systems, published
from msdd.report.metric_columns import metric_columns, metrics, speed
from msdd.report.published import Published
from msdd.report.results import BASELINE_ROWS, group, read, recorded, timing_files, training
from msdd.report.table import Column, Table, write

PAPER_REGION = Column("paper_region", "paper region\nimages/s", 2)
REGION_NOTE = (
    "paper region: encoding, decoding and copies from the host, as the code of MSDD times them."
)
OWN = "MSDD"  # the system of this project's models; other evaluations name theirs
PUBLISHED = "Published: ImageNet val at 256 px, unless a note says otherwise"
WHOLE = ("tokens", "dim", "nfe", "parameters")
CAPTION = (
    "Tokenizers: figures that others published, and what was measured here. The groups do not "
    "compare, see the notes."
)


def run(params: Params, root: Path) -> dict[str, float]:
    """Write `reports/table1.{csv,html,md,tex}`; returns the PSNR of every row measured here."""
    files = [published.place(root), *timing_files(params), *other_systems.files(root)]
    with recorded("table1", params, root, files):
        results = read(params, root, timing_files(params))
        write(root / layout.table("table1", "csv").with_suffix(""), table(params, results, root))
    return {f"psnr/{result['decode']}": result["metrics"]["psnr"]["mean"] for result in results}


def table(params: Params, results: list[dict], root: Path) -> Table:
    """Published rows, those of other systems, and a line for each of the evaluations `results`."""
    known = published.read(root)
    rows = [{"group": PUBLISHED, **row} for row in published.rows(known)]
    rows += other_systems.rows(known, root)
    here = f"Measured here: {notes.crops(results, root)} at {params.data.resolution} px"
    rows += [{"group": here, **_row(result, params)} for result in results]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(WHOLE, "Int64"))
    columns, below = _columns(frame, params), _notes(params, known, results, root)
    return Table(frame, columns, CAPTION, below, "group")


def _row(result: dict, params: Params) -> dict:
    """A line of the lower part; a baseline is its own system."""
    baseline = group(result) == BASELINE_ROWS
    own = OWN if result.get("model") else result["decode"]
    return {
        "system": result.get("system", result.get("tokenizer", own)),
        "decode": None if baseline else result["decode"],
        "training": training(result, params),
        "tokens": result.get("tokens"),
        "dim": result.get("dim"),
        "latent": published.latent(result.get("tokens"), result.get("dim")),
        "nfe": result.get("nfe") or None,
        "parameters": result.get("parameters"),
        "protocol": result["protocol"],
        **metrics(result),
        "source": "here",
        "file": result["file"],
        **speed(result),
    }


def _columns(frame: pd.DataFrame, params: Params) -> list[Column]:
    shown = metric_columns(frame)
    trunks = [name for trunk in params.evaluate.lpips if (name := f"lpips_{trunk}") in shown]
    return [
        Column("system", "system"),
        Column("decode", "decode"),
        Column("latent", "latent", marks=True),
        Column("rfid", "rFID ↓\n(Inception)", 2, marks=True),
        *(column for name, column in shown.items() if name.startswith("fd_")),
        Column("psnr", "PSNR ↑", 2, interval=True, marks=True),
        Column("ssim", "SSIM ↑", 3, marks=True),
        *(shown[trunk] for trunk in trunks[:1]),  # a protocol may have none
        Column("nfe", "passes\n(NFE)", 0, marks=True),
        Column("images_per_second", "images/s", 2, marks=True),
        *([PAPER_REGION] if frame["paper_region"].notna().any() else []),
        Column("parameters", "parameters", 0),
        Column("source", "source"),
    ]


def _notes(params: Params, known: Published, results: list[dict], root: Path) -> list[str]:
    return [
        "Published rows are others' figures, copied from the sources in square brackets; nothing "
        "in them was measured by this project.",
        _comparable(params),
        "–: not published, or not measured here.",
        "rFID is the published Fréchet distance on Inception features; a distance measured here "
        "has a column named for its features.",
        "passes (NFE): evaluations of the decoder for one image; guidance counts twice here.",
        notes.intervals(results, root),
        *notes.infinity(results),
        *notes.speed(results),
        *other_systems.notes(root, known),
        *([REGION_NOTE] if any(result["timing"].get("paper_region") for result in results) else []),
        *published.notes(known),
    ]


def _comparable(params: Params) -> str:
    """Whether measured rows can be compared with figures on ImageNet at all."""
    data = params.data
    where = f"at {data.resolution} px on the photographs of this run ({data.photographs})"
    if "imagenet" in (data.held_out or data.photographs).lower() and data.resolution == 256:
        return (
            f"Rows measured here are {where}, by their protocol: compare with published ones "
            "only where the notes on both agree."
        )
    return (
        f"Rows measured here are {where}: other images, other sizes and other models than the "
        "published ones, so they do not compare with figures on ImageNet at 256 px."
    )
