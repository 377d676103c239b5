"""Sentences that tables and figures share: images, intervals, timings, commits."""

import math
from pathlib import Path

from msdd.metrics.intervals import groups_of
from msdd.metrics.pooling import LEAST
from msdd.report.results import photographs

MANY = 30  # photographs that say something of others


def crops(results: list[dict], root: Path) -> str:
    """`256 crops of 2 held-out photographs`."""
    measured = set(results[0].get("photographs") or ())  # not of all, where not all crops are
    return (
        f"{results[0]['images']} crops of {_counted(len(measured)) if measured else held_out(root)}"
    )


def held_out(root: Path) -> str:
    """`2 held-out photographs`."""
    return _counted(photographs(root, "held_out"))


def _counted(count: int) -> str:
    return f"{count} held-out photograph{'s' * (count != 1)}"


def few(root: Path, split: str = "held_out") -> str:
    """A warning, with a space before it, if the photographs of a split are few; else empty."""
    if photographs(root, split) >= MANY:
        return ""
    return " So few photographs say little about others."


def intervals(results: list[dict], root: Path) -> str:
    """What the brackets in a table are, and what they do not cover."""
    return (
        f"Decodes are measured on {crops(results, root)}; brackets are 95 % bootstrap intervals "
        f"{redrawn(results)}.{_pools(results)}{few(root)}"
    )


def _pools(results: list[dict]) -> str:
    """What differs for a PSNR of groups of crops, with a space before it; else empty."""
    if not (groups := _groups(results)):
        return ""
    so = "over them are its brackets" if groups >= LEAST else "too few for brackets"
    return f" PSNR pools errors of {results[0]['pool']} crops each: {_grouped(groups)}, {so}."


def psnr_interval(results: list[dict]) -> str:
    """What the interval of a mean PSNR is over, or that there is none."""
    if not (groups := _groups(results)):
        return f"with its 95 % interval {redrawn(results)}"
    pools = f"{_grouped(groups)} of {results[0]['pool']} crops"
    many = groups >= LEAST
    return (
        f"with its 95 % interval over {pools}" if many else f"of {pools}, too few for an interval"
    )


def _groups(results: list[dict]) -> int:
    """How many groups of crops the PSNR of the protocol is of; 0 where it is of crops or of all."""
    pool = results[0]["pool"]
    return 0 if pool in (1, "all") else -(-results[0]["images"] // pool)


def _grouped(count: int) -> str:
    return f"{count} group{'s' * (count != 1)}"


def redrawn(results: list[dict]) -> str:
    """What the bootstrap redraws: crops of one photograph resemble each other."""
    if groups_of(results[0].get("photographs")):
        return "over the photographs, each redrawn with all its crops"
    return "over the crops, not over photographs"


def infinity(results: list[dict]) -> list[str]:
    """What ∞ in a table means, and what then has no value; nothing where no crop is exact."""
    if not any(math.isinf(psnr) for result in results for psnr in result["per_image"]["psnr"]):
        return []
    return [
        "∞: some crops are reproduced exactly. Their PSNR is infinite, and so is a mean or a "
        "difference that contains it. A difference is missing (–) where each side reproduces crops "
        "exactly that the other does not."
    ]


def kernel_distance(results: list[dict]) -> list[str]:
    """How the columns KD differ from what other programs print; nothing where there are none."""
    names = {name for result in results for name in result["metrics"]}
    if not any(n.startswith("kd_") and not n.startswith("kd_torch_fidelity_") for n in names):
        return []
    return [
        "KD: the kernel distance without the kernel of a crop with its own reconstruction, which "
        "torch-fidelity's default and torchmetrics keep; it lowers theirs, often below 0, so they "
        "do not compare (docs/protocols.md)."
    ]


def regions(results: list[dict]) -> str:
    """Devices, threads, variants, precisions and batches of all timings, joined by semicolons."""
    timings = [result["timing"] for result in results if result["timing"]]
    return "; ".join(sorted(set(map(_how, timings))))


def _how(timing: dict) -> str:
    """How one was timed."""
    return (
        f"{timing['device']}, {timing['threads']} thread{'s' * (timing['threads'] != 1)}, "
        f"{_variant(timing)}{timing['precision']}, batch {timing['batch']}"
    )


def _variant(timing: dict) -> str:
    """`fast variant, ` of a decode that was timed in turns with others; else empty."""
    return f"{timing['variant']} variant, " if "variant" in timing else ""


def speed(results: list[dict]) -> list[str]:
    """What the columns of speed mean and which commit they are of, or that nothing was timed."""
    if not any(result["timing"] for result in results):
        return [*wholes(results)] or ["Nothing was timed."]
    return [
        f"Decodes' images/s: decoding alone, timed on {regions(results)}. Speed and its ratio vary "
        "from run to run; all other columns repeat to the byte. Speeds come from "
        "reports/throughput.json, where decodes take turns and each counts at its best batch; if "
        "a decode is not in it, from the .timing.json beside its metrics file.",
        *wholes(results),
        commits([result["timing"]["provenance"] for result in results if result["timing"]]),
        "In MLflow the metrics of a decode are in the run of its name, and each evaluation in "
        "`<row>/evaluate/<decode>` below it.",
    ]


def wholes(results: list[dict]) -> list[str]:
    """The speed of each that makes but whole reconstructions: no column of decodes is for it."""
    return [
        f"{result['decode']} is a function of whole images, of which no decoding can be timed: it "
        f"makes {result['whole']['images_per_second']:,.4g} images/s, encoding included "
        f"({_how(result['whole'])})."
        for result in results
        if result["whole"]
    ]


def commits(origins: list[dict]) -> str:
    """The commits of these provenances, as a sentence."""
    return f"Commit: {', '.join(sorted(set(map(commit, origins))))}."


def commit(provenance: dict, unknown: str = "unknown") -> str:
    """`0123456789ab with uncommitted changes`."""
    changed = " with uncommitted changes" if provenance.get("dirty") else ""
    return (provenance.get("commit") or unknown)[:12] + changed
