"""Columns of metrics and speed that all tables of measured decodes share."""

import pandas as pd

from msdd.report.table import Column

FEATURES = {"efficientnet_lite0": "EffNetLite0", "inception": "Inception"}


def metrics(result: dict) -> dict[str, float]:
    """The metrics of an evaluation as cells: means with `_low` and `_high`, and distances."""
    flat = {}
    for name, value in sorted(result["metrics"].items(), key=lambda item: _place(item[0])):
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
    order = ("psnr", "ssim", "lpips", "fd", "kd")
    return next((i for i, kind in enumerate(order) if name.startswith(kind)), len(order)), name


def speed(result: dict) -> dict[str, object]:
    """The timing of a decode as cells, None where there is none.

    It changes from run to run, so its columns are the last ones.
    """
    timing = result["timing"]
    return {
        "images_per_second": timing.get("images_per_second"),
        "at_batch": timing.get("batch"),
        "paper_region": timing.get("paper_region"),
        "device": timing.get("device"),
        "commit": timing.get("provenance", {}).get("commit"),
    }


def metric_columns(frame: pd.DataFrame) -> dict[str, Column]:
    """A column for SSIM, each LPIPS and each distance of a frame, in the frame's order."""
    metrics = [name for name in frame if name.startswith(("ssim", "lpips", "fd_", "kd_"))]
    shown = [name for name in metrics if not name.endswith(("_low", "_high", "_marks"))]
    return {name: metric_column(name) for name in shown}


def metric_column(name: str) -> Column:
    """The column of SSIM, an LPIPS or a Fréchet distance, which is named after its features."""
    kind, _, variant = name.partition("_")
    if kind == "fd":  # only Inception features under their own protocol may be called rFID
        return Column(name, f"FD-\n{FEATURES.get(variant, variant)} ↓", 1)
    if kind == "kd":
        return Column(name, f"KD-\n{FEATURES.get(variant, variant)} ↓", 4)
    if kind == "lpips":
        return Column(name, f"LPIPS\n{variant} ↓", 3)
    return Column(name, "SSIM ↑", 3)


def per_scale(values: list | None, short: bool = False) -> str | None:
    """The values of all scales as `8/16/32`; if `short`, one number where all are equal."""
    texts = [f"{value:g}" for value in values or []]
    return "/".join(texts[:1] if short and len(set(texts)) == 1 else texts) or None
