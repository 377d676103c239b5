"""What was timed by `msdd throughput`, as the reports read it."""

from pathlib import Path

from msdd.files import read_json
from msdd.pipeline import layout

VARIANTS = ("plain", "fast", "compiled")
PAPER_BATCH = 32  # images at once in the paper's own region


def read(root: Path, file: Path | None = None) -> dict | None:
    """The document of the pipeline's run, or of another in `file`; None if nothing was timed."""
    path = root / (file or layout.throughput())
    return read_json(path) if path.exists() else None


def rows(document: dict, system: str, region: str, variant: str | None = None) -> list[dict]:
    """Those of one variant; unless told otherwise, of the one that was made fastest."""
    found = [row for row in document["rows"] if (row["system"], row["region"]) == (system, region)]
    variants = {row["variant"] for row in found}
    variant = variant or max(variants, key=VARIANTS.index, default=None)
    return [row for row in found if row["variant"] == variant]


def best(found: list[dict]) -> dict | None:
    """The row at the batch size with most images a second."""
    return max(found, key=lambda row: row["images_per_second"], default=None)


def at(found: list[dict], batch: int) -> dict | None:
    """The row at one batch size."""
    return next((row for row in found if row["batch"] == batch), None)


def paper(found: list[dict]) -> dict | None:
    """The row at the paper's batch size, or the best."""
    return at(found, PAPER_BATCH) or best(found)


def timing(document: dict, system: str) -> dict | None:
    """Speed of a system in the form of the files beside evaluations: decoding at its best batch.

    `run` tells timings of one run from others: they were taken in turns, so that their ratio
    counts although each has a batch of its own.
    """
    row = best(rows(document, system, "decode"))
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
