"""Columns of metrics and speed that all tables of measured decodes share."""

import pandas as pd

from msdd.report.table import Column
from msdd.weights.representations import REPRESENTATIONS, key_of

FEATURES = {key_of(name): one.title for name, one in REPRESENTATIONS.items()}
# Heading and digits of every kind of metric, in the order of tables; {} is the network behind it.
# Only Inception features under their own protocol may be called rFID.
HEADINGS = {
    "bpp": ("bpp", 3),
    "psnr": ("PSNR ↑", 2),
    "psnr_hvs": ("PSNR-HVS ↑", 2),
    "psnr_hvs_m": ("PSNR-HVS-M ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "gaussian_ssim": ("SSIM\nGaussian ↑", 3),
    "ms_ssim": ("MS-SSIM ↑", 3),
    "lpips": ("LPIPS\n{} ↓", 3),
    "dists": ("DISTS ↓", 3),
    "dreamsim": ("DreamSim ↓", 3),
    "fd": ("FD-\n{} ↓", 1),
    "kd": ("KD-\n{} ↓", 4),
    "kd_torch_fidelity": ("torch-fidelity's KD-\n{} ↓", 4),
    "mind": ("MIND-\n{} ↓", 1),
    "cmmd": ("CMMD ↓", 3),
    "patch_fd": ("patch FD-\n{} ↓", 1),
    "fdr": ("FDr-\n{} ↓", 2),
}


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
    kind = kind_of(name)
    return list(HEADINGS).index(kind) if kind in HEADINGS else len(HEADINGS), name


def kind_of(name: str) -> str:
    """The longest beginning of a column's name that is in `HEADINGS`, else its first word."""
    kinds = [kind for kind in HEADINGS if name == kind or name.startswith(f"{kind}_")]
    return max(kinds, key=len, default=name.partition("_")[0])


def speed(result: dict) -> dict[str, object]:
    """The timing of a decode as cells, None where there is none.

    It changes from run to run, so its columns are the last ones.
    """
    timing = result["timing"]
    known = timing or result.get("whole", {})
    return {
        "images_per_second": timing.get("images_per_second"),
        "at_batch": timing.get("batch"),
        "paper_region": known.get("paper_region"),
        "device": known.get("device"),
        "commit": known.get("provenance", {}).get("commit"),
    }


def metric_columns(frame: pd.DataFrame) -> dict[str, Column]:
    """A column for every metric of a frame except PSNR, in the frame's order."""
    metrics = [name for name in frame if kind_of(name) in HEADINGS.keys() - {"psnr"}]
    shown = [name for name in metrics if not name.endswith(("_low", "_high", "_marks"))]
    return {name: metric_column(name) for name in shown}


def metric_column(name: str) -> Column:
    """The column of a metric, such as `ssim`, `lpips_alex` or `fd_efficientnet_lite0`."""
    heading, digits = HEADINGS[kind := kind_of(name)]
    network = name.removeprefix(f"{kind}_")
    return Column(name, heading.format(FEATURES.get(network, network)), digits)


def per_scale(values: list | None, short: bool = False) -> str | None:
    """The values of all scales as `8/16/32`; if `short`, one number where all are equal."""
    texts = [f"{value:g}" for value in values or []]
    return "/".join(texts[:1] if short and len(set(texts)) == 1 else texts) or None
