"""Two reports of the same images side by side: paired differences, which tell rows apart."""

import math
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msdd.data.image_folder import composed_form
from msdd.errors import MsddError
from msdd.evaluate.columns import PARTIAL
from msdd.evaluate.protocol import NO_FEATURES, OF_FEATURES, Protocol
from msdd.evaluate.rows import ROWS
from msdd.evaluate.text import INFINITY, NAMES, aligned
from msdd.metrics.intervals import MaybeInterval, mean_difference
from msdd.metrics.pooling import pooled_psnr_difference
from msdd.pipeline import forms

DISTANCES = (*OF_FEATURES, *NO_FEATURES)  # keys of a protocol


class Other(NamedTuple):
    """The report of another run, and its file."""

    path: Path
    report: dict


def read(path: Path) -> Other:
    """A JSON file of `msdd evaluate` of pairs; MsddError if it is none."""
    other = read_any(path)
    if "samples" in other.report:
        raise MsddError(f"--against {path} is a report of samples, not of pairs of images")
    return other


def read_any(path: Path) -> Other:
    """Read the report of another evaluation, of pairs or of samples."""
    try:
        report = forms.read(path, forms.Evaluation, "no file of `evaluate --json`, or an old one")
        for entry in report["protocols"].values():
            forms.check_lengths(path, entry, len(report["names"]))
    except OSError as error:
        raise MsddError(f"--against {path} is no JSON file: {error.strerror}") from error
    except MsddError as error:
        raise MsddError(f"--against {error}") from error
    return Other(path, report)


def check(report: Mapping, other: Other) -> None:
    """MsddError unless both are of the same originals, and share a protocol with the same rules and
    the same preparation of the originals. `report` needs no metrics for that."""
    check_names(report["names"], other)
    if other.report["digest"] != report["digest"]:
        raise MsddError(f"--against {other.path} is of other originals, though of the same names")
    if shared_protocols(report, other.report):
        return
    lines = [
        f"--against {other.path} has no protocol of {', '.join(report['protocols'])} with the same "
        "rules, on the same crops"
    ]
    for name, entry in report["protocols"].items():
        theirs = other.report["protocols"].get(name, entry)
        if (there := theirs["preparation"]) != entry["preparation"]:
            lines.append(f"{name} is of {there} there, and of {entry['preparation']} here")
        ours, rules = of_images(entry["protocol"]), of_images(theirs["protocol"])
        if keys := [key for key in ours | rules if ours.get(key) != rules.get(key)]:
            lines.append(f"{name} has another rule there for {', '.join(keys)}")
    raise MsddError("\n".join(lines))


def check_names(names: list[str], other: Other) -> None:
    theirs = other.report["names"]
    pairs = zip_longest(map(composed_form, theirs), map(composed_form, names), fillvalue="")
    first = next((there or here for there, here in pairs if there != here), None)
    if first is None:
        return
    raise MsddError(
        f"--against {other.path} has {len(theirs)} images, this run {len(names)}; "
        f"the first that differs: {first}"
    )


def shared_protocols(report: Mapping, other: Mapping) -> list[str]:
    """Names of the protocols whose rules for single images and whose originals are the same in
    both."""
    theirs = other["protocols"]
    return [
        name
        for name, entry in report["protocols"].items()
        if name in theirs
        and theirs[name]["preparation"] == entry["preparation"]
        and of_images(theirs[name]["protocol"]) == of_images(entry["protocol"])
    ]


def of_images(rules: Mapping) -> dict:
    """The rules of a protocol without those of distances, which have no values of images."""
    return {key: value for key, value in rules.items() if key not in DISTANCES}


def comparison(report: dict, other: Other) -> str:
    """Metrics of `report` less those of `other`, with 95 % intervals over images, for the protocols
    that both have; a line each, as `check` has let them through."""
    rows = []
    for name in shared_protocols(report, other.report):
        sides = (side["protocols"][name] for side in (report, other.report))
        for metric, difference in differences(*sides).items():
            heading, form = ROWS.get(metric) or (NAMES[metric], "number")
            rows.append([name, heading, *cells(*difference, percent=form == "share")])
    return "\n".join(
        [
            f"less {other.path}, image by image:",
            aligned(rows),
            "* the interval leaves out 0. Distances (FD, KID) have no values of images, so no "
            "paired interval.",
        ]
    )


def cells(
    difference: float, low: float | None, high: float | None, percent: bool = False
) -> Iterable[str]:
    if math.isnan(difference):
        return ("undefined: ∞ - ∞", "", "")
    if low is None:
        return (signed(difference, percent), "", "")
    star = "" if low <= 0 <= high else "*"
    interval = f"[{signed(low, percent, '')}, {signed(high, percent, '')}]"
    return (signed(difference, percent), interval, star)


def signed(value: float, percent: bool = False, unit: str = " points") -> str:
    """A difference; of shares, in percentage points."""
    text = f"{100 * value:+.2f}{unit}" if percent else f"{value:+.4f}"
    return text.replace("inf", INFINITY)


def differences(entry: dict, other: dict) -> dict[str, MaybeInterval]:
    """Paired differences by metric, without distances, which have no value for an image."""
    protocol = Protocol.model_validate(entry["protocol"], strict=False)
    sides = (entry["per_image"], other["per_image"])
    by_name = {
        name: mean_difference(*ends)
        for name in entry["per_image"]
        if name in other["per_image"] and len((ends := columns_of(name, *sides))[0])
    }
    if protocol.psnr and protocol.psnr.pool != 1:
        ends = (errors(side["psnr"]) for side in sides)
        by_name["psnr"] = pooled_psnr_difference(
            protocol.psnr.pool, *ends, np.array(entry.get("pixels"))
        )
    return by_name


def columns_of(name: str, *sides: Mapping[str, list]) -> tuple[np.ndarray, ...]:
    """A metric's values of both sides; of the images that both have, where some have none."""
    pairs = list(zip(*(side[name] for side in sides), strict=True))
    if name in PARTIAL:
        pairs = [pair for pair in pairs if None not in pair]
    return tuple(column([pair[k] for pair in pairs]) for k in (0, 1))


def column(values: list) -> np.ndarray:
    """Values of images, which JSON has as null where a PSNR is infinite."""
    return np.array([np.inf if value is None else value for value in values])


def errors(decibels: list) -> np.ndarray:
    """Mean squared errors of PSNRs."""
    return 10 ** (-column(decibels) / 10)
