"""What the jumps between scales added in real decodes, beside what theory says of them."""

import pandas as pd

from msdd.flow.correlation import CORRELATIONS
from msdd.report.table import Column, Table

CAPTION = "Noise of real states right after each jump between scales, the true signal taken off."
NOTES = (
    "variance: relative to the level s squared of the scale's start; training has 1.",
    "correlation: between neighbours inside a 2x2 block; training has 0, which a jump with "
    "noise of correlation -1/3 (white) keeps; with +1/3 (paper_code) it is 1/2.",
    "What a decoder got wrong at the scale before, and what guidance did to it, counts as noise "
    "that is equal inside each block: it moves both away from theory.",
)


def tables(results: list[dict]) -> list[Table]:
    """One table of all decodes that tell of their jumps; none if there are none."""
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
    return [Table(frame, columns, CAPTION, NOTES, group=None, sources="file")]


def _row(result: dict, jump: dict) -> dict:
    """a^2 e^2 + b^2 r over s^2 is (1 + 3 r) / 4 for block noise of correlation r."""
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
