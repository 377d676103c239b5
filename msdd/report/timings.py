"""The document that `msdd throughput` writes, as the reports read it."""

from pathlib import Path

from msdd.files import read_json
from msdd.pipeline import layout
from msdd.speed.variants import VARIANTS

PAPER_BATCH = 32  # images at once in the paper's own region


def read(root: Path, file: Path | None = None) -> dict | None:
    """The pipeline's document, or that in `file` below `root`; None if there is no such file."""
    path = root / (file or layout.throughput())
    return read_json(path) if path.exists() else None


def rows(document: dict, system: str, region: str, variant: str | None = None) -> list[dict]:
    """The rows of a system in a region: of `variant`, or by default of the most compiled one."""
    matches = [
        row for row in document["rows"] if (row["system"], row["region"]) == (system, region)
    ]
    variants = {row["variant"] for row in matches}
    variant = variant or max(variants, key=VARIANTS.index, default=None)
    return [row for row in matches if row["variant"] == variant]


def best(rows: list[dict]) -> dict | None:
    """The row at the batch size with the most images/s; None without rows."""
    return max(rows, key=lambda row: row["images_per_second"], default=None)


def at(rows: list[dict], batch: int) -> dict | None:
    """The row at one batch size; None if that was not timed."""
    return next((row for row in rows if row["batch"] == batch), None)


def paper(rows: list[dict]) -> dict | None:
    """The row at the paper's batch size, else at the best one."""
    return at(rows, PAPER_BATCH) or best(rows)


def timing(document: dict, system: str, region: str = "decode") -> dict | None:
    """Speed in a region at the best batch size, in the form of the `.timing.json` files.

    `seconds` are of one call on `batch` images; `paper_region` is in images/s. Timings with the
    same `run` were taken in turns, so that they compare although their batch sizes differ. None if
    the system was not timed there.
    """
    row = best(rows(document, system, region))
    if row is None:
        return None
    whole, origin = paper(rows(document, system, "paper")), document["context"]
    return {
        "seconds": row["seconds"],
        "batch": row["batch"],
        "images_per_second": row["images_per_second"],
        "paper_region": whole and whole["images_per_second"],
        "variant": row["variant"],
        "precision": row["precision"],
        "device": origin["device"],
        "threads": origin["threads"],
        "run": f"{origin['host']} {origin['started']}",
        "provenance": origin,
    }
