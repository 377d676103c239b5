"""Two reports of the same images side by side: paired differences, which tell rows apart."""

from pathlib import Path

import numpy as np

from msdd.errors import MsddError
from msdd.evaluate.figures import groups
from msdd.evaluate.intervals import Interval, paired, paired_pooled_psnr
from msdd.evaluate.protocols import Protocol
from msdd.files import read_json


def compared(report: dict, other: dict, path: Path) -> str:
    """Figures of `report` less those of `other`, the file at `path`, with 95 % intervals over
    images, for the protocols that both have. MsddError if there are none, or for other images.
    """
    if other["names"] != report["names"]:
        raise MsddError(f"--against {path} is of other images: {len(other['names'])}, by name")
    lines = [f"less {path}, image by image:"]
    for name, entry in report["protocols"].items():
        there = other["protocols"].get(name, {})
        if there.get("protocol") != entry["protocol"]:
            continue
        for figure, found in differences(entry, there).items():
            difference, low, high = found
            sure = "" if low <= 0 <= high else "  *"
            lines.append(f"{name}  {figure}  {difference:+.4f} [{low:+.4f}, {high:+.4f}]{sure}")
    if len(lines) == 1:
        named = ", ".join(report["protocols"])
        raise MsddError(f"--against {path} has no protocol of {named} with the same rules")
    return "\n".join([*lines, "* the interval leaves out 0"])


def read_report(path: Path) -> dict:
    """A JSON file of `msdd evaluate`; MsddError if it is none."""
    try:
        report = read_json(path)
        report["names"], report["protocols"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MsddError(f"--against {path} is no JSON file of `msdd evaluate`: {error}") from error
    return report


def differences(entry: dict, other: dict) -> dict[str, Interval]:
    """By figure. The distances have no values of images, so they are left out."""
    protocol = Protocol.model_validate(entry["protocol"], strict=False)
    sides = (entry["per_image"], other["per_image"])
    found = {
        name: paired(*(column(side[name]) for side in sides))
        for name in entry["per_image"]
        if name in other["per_image"]
    }
    if protocol.psnr and protocol.psnr.pool != 1:
        found["psnr"] = pooled(protocol.psnr.pool, *(errors(side["psnr"]) for side in sides))
    return found


def pooled(pool: int | str, a: np.ndarray, b: np.ndarray) -> Interval:
    if pool == "all":
        return paired_pooled_psnr(a, b)
    return paired(groups(a, pool), groups(b, pool))


def column(values: list) -> np.ndarray:
    """Infinite PSNRs stand as null."""
    return np.array([np.inf if value is None else value for value in values])


def errors(decibels: list) -> np.ndarray:
    """Mean squared errors of PSNRs."""
    return 10 ** (-column(decibels) / 10)
