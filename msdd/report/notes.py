"""Sentences that tables and figures share: what was measured on, with what, and how far it goes."""

from pathlib import Path

from msdd.report.results import photographs

FEW = 30  # photographs; with fewer, figures speak of these and not of photographs in general


def crops(results: list[dict], root: Path) -> str:
    """`256 crops of 2 held-out photographs`."""
    return f"{results[0]['images']} crops of {held_out(root)}"


def held_out(root: Path) -> str:
    count = photographs(root, "held_out")
    return f"{count} held-out photograph{'s' * (count != 1)}"


def few(root: Path, split: str = "held_out") -> str:
    """A warning, with a space before it, where the photographs are few; else nothing."""
    if photographs(root, split) >= FEW:
        return ""
    return " So few photographs say little about others."


def intervals(results: list[dict], root: Path) -> str:
    return (
        f"Decodes are measured on {crops(results, root)}; brackets are 95 % bootstrap "
        f"intervals over the crops and say nothing about other photographs.{few(root)}"
    )


def regions(results: list[dict]) -> str:
    """Where and how the decodes were timed."""
    timings = [result["timing"] for result in results if result["timing"]]
    found = {
        f"{timing['device']}, {timing['threads']} thread{'s' * (timing['threads'] != 1)}, "
        f"{_path(timing)}{timing['precision']}, batch {timing['batch']}"
        for timing in timings
    }
    return "; ".join(sorted(found))


def _path(timing: dict) -> str:
    """Which of two variants of a decode was timed in turns with others."""
    return f"{timing['variant']} variant, " if "variant" in timing else ""


def speed(results: list[dict]) -> list[str]:
    """What the columns of speed are, and the commit; or that nothing was timed."""
    if not any(result["timing"] for result in results):
        return ["Nothing was timed."]
    return [
        f"Decodes' images/s: decoding alone, timed on {regions(results)}. Speed and ratio vary "
        "from run to run; all other columns repeat to the byte. They come from "
        "reports/throughput.json, where decodes take turns and each counts at its best batch, "
        "else from the .timing.json beside a metrics file.",
        commits([result["timing"]["provenance"] for result in results if result["timing"]]),
        "In MLflow the figures of a metrics file stand in the run `<row>/evaluate/<decode>`, below "
        "the row of params.yaml that decodes.",
    ]


def commits(origins: list[dict]) -> str:
    """The code behind what has this provenance."""
    return f"Commit: {', '.join(sorted(set(map(_commit, origins))))}."


def _commit(provenance: dict) -> str:
    commit = provenance.get("commit")
    changed = " with uncommitted changes" if provenance.get("dirty") else ""
    return commit[:12] + changed if commit else "unknown"
