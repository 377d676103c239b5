"""The correctness gate: what puts out something else than the plain path is not timed."""

import torch
from torch import Tensor

from msdd.errors import MsddError
from msdd.speed.box import Boxes
from msdd.speed.clock import seconds

# Largest deviation of the timed path from the plain one in fp32, see `deviation`. Another order of
# sums stays far below the first; bf16 was seen to give 0.004 to 0.013 on trained models. Indices
# flip where a latent lies between two codes.
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
FLIPPED = {"fp32": 1e-2, "bf16": 2e-1}


def admit(system: str, path: str, boxes: Boxes, precision: str) -> dict:
    """Deviations of a path's first encoding and decoding from the plain one's, and their seconds.

    The first calls may include compiling. Raises MsddError for another shape, for NaN or infinity,
    and for a deviation that is not tolerated.
    """
    batch, device = boxes.inputs.batch, boxes.inputs.device
    result = {"system": system, "path": path, "batch": batch, "precision": precision}
    for box in ("encode", "decode"):
        found: list[Tensor] = []
        first = seconds(lambda: found.append(boxes.at(box, 0, boxes.tokenizer)), device)  # noqa: B023
        alike = boxes.tokenizer is boxes.plain
        expected = found[0] if alike else boxes.at(box, 0, boxes.plain)
        name = f"throughput of {system}, {path} {box}, batch {batch}"
        result[f"{box}_deviation"] = check(name, found[0], expected, precision)
        result[f"{box}_first_seconds"] = first
    return result


def check(name: str, found: Tensor, expected: Tensor, precision: str) -> float:
    """The deviation of what was found, if it is tolerated."""
    if found.shape != expected.shape:
        raise MsddError(
            f"{name}: shape {list(found.shape)} instead of {list(expected.shape)}; nothing is timed"
        )
    if not torch.isfinite(found).all():
        raise MsddError(f"{name}: the timed path puts out NaN or infinity; nothing is timed")
    deviates = deviation(found, expected)
    allowed = (TOLERANCE if expected.is_floating_point() else FLIPPED)[precision]
    if not deviates <= allowed:
        raise MsddError(
            f"{name}: deviates by {deviates:.2g} from the plain path, {allowed:g} is allowed in "
            f"{precision}; nothing is timed"
        )
    return deviates


def deviation(found: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference, relative to the standard deviation of what is expected.

    Of integers, the indices of a discrete tokenizer, the share that differs.
    """
    if not expected.is_floating_point():
        return (found != expected).double().mean().item()
    error = (found.double() - expected.double()).square().mean().sqrt()
    return (error / expected.double().std(correction=0)).item()
