"""Two reports of samples against the same reference, side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.evaluate import compare
from msdd.evaluate.compare import Other, shared_protocols, signed
from msdd.evaluate.samples_text import heading
from msdd.evaluate.text import aligned, scale_of


def read(path: Path) -> Other:
    """A JSON file of `msdd evaluate --samples`; MsddError if it is none."""
    other = compare.read_any(path)
    if "samples" not in other.report:
        raise MsddError(f"--against {path} is of no samples, but of pairs of images")
    return other


def check(report: Mapping[str, Any], other: Other) -> None:
    """MsddError unless both are against the same reference and share a protocol."""
    if other.report["of_reference"] != report["of_reference"]:
        theirs = other.report["reference"]
        raise MsddError(
            f"--against {other.path} was compared with {theirs}, which is another reference than "
            f"{report['reference']}"
        )
    if not shared(report, other.report):
        raise MsddError(
            f"--against {other.path} has no protocol of {', '.join(report['protocols'])} with the "
            f"same rules{told_levels(report, other.report)}"
        )


def shared(report: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The protocols with the same rules, whose networks saw the same levels."""
    names = shared_protocols(report, other)
    return [name for name in names if levels_in(report, name) == levels_in(other, name)]


def levels_in(report: Mapping[str, Any], protocol: str) -> dict[str, str]:
    """Empty in reports of earlier versions, which lack it."""
    return report["protocols"][protocol].get("levels", {})


def told_levels(report: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What networks see here and not there."""
    names = shared_protocols(report, other)
    here = dict(one for name in names for one in levels_in(report, name).items())
    return "".join(f"; {network} sees {levels} here" for network, levels in here.items())


def comparison(report: Mapping[str, Any], other: Other) -> str:
    """Metrics of `report` less those of `other`, a line each."""
    rows = []
    for name in shared(report, other.report):
        here, there = (side["protocols"][name]["metrics"] for side in (report, other.report))
        for metric in (metric for metric in here if metric in there):
            difference = figure(here[metric]) - figure(there[metric])
            rows.append([name, heading(metric), signed(scale_of(metric) * difference)])
    unpaired = "The samples have no partners, so differences have no paired interval."
    return "\n".join([f"less {other.path}:", aligned(rows), unpaired])


def figure(metric: dict | float) -> float:
    return metric["mean"] if isinstance(metric, dict) else metric
