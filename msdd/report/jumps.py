"""The noise that jumps between scales added in real decodes, beside its theory."""

import pandas as pd

from msdd.flow.correlation import CORRELATIONS
from msdd.report.table import Column, Table

CAPTION = "Noise of real states (less the true signal) right after each jump between scales."
NOTES = (
    "variance: relative to s squared, the noise level where the scale starts; 1 in training.",
    "correlation: between neighbours inside a 2x2 block; 0 in training. A jump with noise of "
    "correlation -1/3 (white) keeps it at 0, with +1/3 (paper_code) it becomes 1/2.",
    "Errors of the decoder at the scale before, and effects of guidance on it, count as noise that "
    "is equal inside each block: they move both numbers away from theory.",
)


def tables(results: list[dict]) -> list[Table]:
    """One table of all decodes with noise of jumps in their evaluation; empty if there are none."""
    rows = [_row(result, jump) for result in results for jump in result.get("jump_noise", [])]
    if not rows:
        return []
    columns = [
        Column("decode", "decode"),
        Column("jump", "jump"),
        Column("scale", "scale", 0),
        Column("side", "px", 0),
        Column("variance", "variance", 3),
        Column("correlation", "correlation", 3),
        Column("correlation_theory", "in theory", 3),
    ]
    frame = pd.DataFrame(rows).astype({"scale": "Int64", "side": "Int64"})
    return [Table(frame, columns, CAPTION, NOTES)]


def _row(result: dict, jump: dict) -> dict:
    """The cells of one jump. In theory (a^2 e^2 + b^2 r) / s^2 = (1 + 3 r) / 4 for block noise of
    correlation r."""
    return {
        "part": "jump",
        "decode": result["decode"],
        "jump": result["jump"],
        "scale": jump["scale"],
        "side": result["scales"][jump["scale"]],
        "variance": jump["variance"],
        "correlation": jump["correlation"],
        "correlation_theory": (1 + 3 * CORRELATIONS[result["jump"]]) / 4,
        "file": result["file"],
    }
