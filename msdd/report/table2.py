"""Table 2: the multi-scale teacher against its one-step students, on held-out photographs.

The table is a function of its input files and of nothing else, so the same files give the same
bytes. Speed comes from the `.timing.json` files, which are measured anew whenever an evaluation is;
its columns stand last, and all others repeat to the byte.
"""

from pathlib import Path

import pandas as pd

from msdd import layout
from msdd.evaluate.intervals import paired
from msdd.files import read_json
from msdd.params import Params
from msdd.report.results import read
from msdd.report.table import Column, Table

REFERENCES, TEACHERS, STUDENTS = "References", "Teachers", "One-step students"
FEATURES = {"efficientnet_lite0": "EffNetLite0", "inception": "Inception"}
SAME_BOX = ("device", "threads", "precision", "batch")  # what two timings must share for a ratio


def run(params: Params, root: Path = Path(".")) -> dict[str, float]:
    """Write `reports/table2.{csv,md,tex}`; returns the PSNR of every row."""
    results = [one | {"timing": _timing(root, one)} for one in read(params, root)]
    frame = pd.DataFrame(_rows(results)).astype({"forward_passes": "Int64"})
    texts = {"title": "Table 2", "caption": _caption(results), "notes": _notes(results, root)}
    table = Table(frame, _columns(frame), **texts, group="group", sources="file")
    table.write(root / layout.table2("csv").with_suffix(""))
    return {f"psnr/{row}": psnr for row, psnr in zip(frame["row"], frame["psnr"], strict=True)}


def _timing(root: Path, result: dict) -> dict:
    """Decode time and circumstances; references have none."""
    path = root / layout.timing(Path(result["file"]))
    return read_json(path) if path.exists() else {}


def _rows(results: list[dict]) -> list[dict]:
    return [_row(result, _teacher(result, results), results[0]) for result in results]


def _row(result: dict, teacher: dict | None, floor: dict) -> dict:
    """A line of the table; `floor` is the reference that differences are taken to."""
    timing = result["timing"]
    return {
        "group": _group(result),
        "row": result["decode"],
        "model": result.get("model"),
        "scales": _list(result.get("scales")),
        "steps": _list(result.get("steps")),
        "guidance": _list(result.get("guidance"), short=True),
        "forward_passes": result.get("forward_passes") or None,
        "images": result["images"],
        "protocol": result["protocol"],
        **_metrics(result["metrics"]),
        **_difference(result, floor),
        "file": result["file"],
        "images_per_second": timing.get("images_per_second"),
        "speed_ratio": _ratio(timing, teacher["timing"]) if teacher else None,
        "speed_against": teacher["decode"] if teacher else None,
        "device": timing.get("device"),
        "commit": timing.get("provenance", {}).get("commit"),
    }


def _group(result: dict) -> str:
    if result.get("student"):
        return STUDENTS
    return TEACHERS if result.get("model") else REFERENCES


def _list(values: list | None, short: bool = False) -> str | None:
    """`8/16/32`; if `short`, one number where all scales have the same."""
    texts = [f"{value:g}" for value in values or []]
    return "/".join(texts[:1] if short and len(set(texts)) == 1 else texts) or None


def _metrics(metrics: dict) -> dict[str, float]:
    flat = {}
    for name, value in sorted(metrics.items(), key=lambda item: _place(item[0])):
        if isinstance(value, dict):
            flat |= {
                name: value["mean"],
                f"{name}_low": value["low"],
                f"{name}_high": value["high"],
            }
        else:
            flat[name] = value
    return flat


def _place(name: str) -> tuple[int, str]:
    order = ("psnr", "ssim", "lpips", "fd")
    return next((i for i, kind in enumerate(order) if name.startswith(kind)), len(order)), name


def _difference(result: dict, floor: dict) -> dict[str, float | None]:
    """PSNR minus that of the mean colour on the same images, with the interval of the pairs."""
    if result is floor:
        return {"psnr_gain": None, "psnr_gain_low": None, "psnr_gain_high": None}
    mean, low, high = paired(result["per_image"]["psnr"], floor["per_image"]["psnr"])
    return {"psnr_gain": mean, "psnr_gain_low": low, "psnr_gain_high": high}


def _teacher(result: dict, results: list[dict]) -> dict | None:
    """The first decode of the model that a student was distilled from."""
    if not result.get("student"):
        return None
    teachers = (other for other in results if _group(other) == TEACHERS)
    return next((other for other in teachers if other["model"] == result["model"]), None)


def _ratio(timing: dict, teacher: dict) -> float | None:
    """How many times faster; only timings taken in the same way compare."""
    same = all(timing.get(name) == teacher.get(name) for name in SAME_BOX)
    if not (same and timing and teacher):
        return None
    return timing["images_per_second"] / teacher["images_per_second"]


def _columns(frame: pd.DataFrame) -> list[Column]:
    metrics = [name for name in frame if name.startswith(("ssim", "lpips", "fd_"))]
    shown = [_metric_column(name) for name in metrics if not name.endswith(("_low", "_high"))]
    return [
        Column("row", "row"),
        Column("scales", "scales\n(px)"),
        Column("steps", "steps"),
        Column("guidance", "guidance"),
        Column("forward_passes", "passes", 0),
        Column("psnr", "PSNR ↑", 2, interval=True),
        Column("psnr_gain", "Δ to mean\ncolour", 2, interval=True),
        *shown,
        Column("images_per_second", "images/s", 1),
        Column("speed_ratio", "speed-up", 1, unit="×"),
        Column("speed_against", "over"),
    ]


def _metric_column(name: str) -> Column:
    kind, _, variant = name.partition("_")
    if kind == "fd":  # only Inception features under their own protocol may be called rFID
        return Column(name, f"FD-{FEATURES.get(variant, variant)} ↓", 1)
    if kind == "lpips":
        return Column(name, f"LPIPS\n{variant} ↓", 3)
    return Column(name, "SSIM ↑", 3)


def _caption(results: list[dict]) -> str:
    protocols = ", ".join(sorted({result["protocol"] for result in results}))
    return (
        "Reconstruction of held-out crops: the multi-scale diffusion decoder (teacher) "
        f"against its one-step students. Protocol: {protocols}."
    )


def _notes(results: list[dict], root: Path) -> list[str]:
    images = ", ".join(sorted({str(result["images"]) for result in results}))
    notes = [
        f"Measured on {images} crops of {_photographs(root)}; brackets are 95 % bootstrap "
        "intervals over the crops and say nothing about other photographs.",
        "Δ: difference in PSNR (dB) to filling each crop with its mean colour, paired per crop.",
        "passes: evaluations of the network for one image; guidance counts twice.",
    ]
    timings = [result["timing"] for result in results if result["timing"]]
    return notes + ([_timed(timings), _commits(timings)] if timings else ["Nothing was timed."])


def _photographs(root: Path) -> str:
    manifest = root / layout.prepared() / "manifest.json"
    if not manifest.exists():
        return "an unknown number of photographs"
    count = read_json(manifest)["photographs"]["held_out"]
    return "1 held-out photograph" if count == 1 else f"{count} held-out photographs"


def _timed(timings: list[dict]) -> str:
    boxes = sorted(
        {
            f"{timing['device']}, {timing['threads']} threads, {timing['precision']}, "
            f"batch {timing['batch']}"
            for timing in timings
        }
    )
    return (
        f"images/s: decoding alone, timed on {'; '.join(boxes)}. Speed and ratio come from the "
        ".timing.json beside each metrics file and vary from run to run; all other columns repeat "
        "to the byte."
    )


def _commits(timings: list[dict]) -> str:
    seen = [timing.get("provenance", {}) for timing in timings]
    names = sorted({_commit(provenance) for provenance in seen})
    return f"Commit: {', '.join(names)}."


def _commit(provenance: dict) -> str:
    commit = provenance.get("commit")
    changed = " with uncommitted changes" if provenance.get("dirty") else ""
    return commit[:12] + changed if commit else "unknown"
