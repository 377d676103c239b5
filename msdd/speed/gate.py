"""The correctness gate: what puts out something else than the plain path is not timed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from msdd.device import seconds
from msdd.errors import MsddError
from msdd.speed.precision import InPrecision
from msdd.speed.regions import Boxes, Inputs
from msdd.speed.systems import System
from msdd.tokenizers.catalogue import adjusted
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.tokenizer import Tokenizer

# Largest deviation of the timed path from the plain one in fp32, see `deviation`. Another order of
# sums stays far below the first; bf16 was seen to give 0.004 to 0.013 on trained models. Indices
# flip where a latent lies between two codes.
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
OF_OTHERS = {"fp32": 1e-3, "bf16": 1e-1}  # TiTok with random weights was seen to give 0.065
FLIPPED = {"fp32": 1e-2, "bf16": 2e-1}
BOXES = ("encode", "decode")  # all others are made of these


def admit(
    system: System, path: str, made: Callable[[], Tokenizer], inputs: Inputs, precision: str
) -> tuple[dict, Boxes]:
    """What the gate found of a path, and the boxes to time it in.

    made: makes the path's tokenizer; `build_seconds` are those it takes, compiling included.

    `<box>_deviation` is that of the first encoding and decoding from the plain path's,
    `<box>_first_seconds` is their time, `memory_bytes` the most they and the making took besides
    what stays. Raises MsddError for another shape, for NaN or infinity, and for a deviation that
    is not tolerated.
    """
    device = inputs.device
    result = {"system": system.name, "path": path, "batch": inputs.batch, "precision": precision}
    boxes = Boxes(system.plain, system.plain, inputs)
    forget_peak(device)
    result["build_seconds"] = seconds(lambda: setattr(boxes, "tokenizer", made()), device)
    with brief(boxes) as shortened:
        found = {box: first(result, box, boxes, shortened) for box in BOXES}
        result["memory_bytes"] = peak(device)
        for box in BOXES:
            alike = boxes.tokenizer is boxes.plain
            expected = found[box] if alike else boxes.at(box, 0, boxes.plain)
            name = f"throughput of {system.name}, {path} {box}, batch {inputs.batch}"
            allowed = tolerance(boxes.plain, expected)[precision]
            result[f"{box}_deviation"] = check(name, found[box], expected, allowed)
    return result, boxes


def first(result: dict, box: str, boxes: Boxes, shortened: bool) -> Tensor:
    """What comes out of a box; its seconds are noted, unless fewer steps were taken."""
    found: list[Tensor] = []
    took = seconds(lambda: found.append(boxes.at(box, 0, boxes.tokenizer)), boxes.inputs.device)
    if box == "encode" or not shortened:
        result[f"{box}_first_seconds"] = took
    return found[0]


@contextmanager
def brief(boxes: Boxes) -> Iterator[bool]:
    """Decoders of other systems make two steps, where both paths are the same sampler: it calls the
    same network in all its steps, and the plain path in fp32 may take an hour for them."""
    plain, timed = boxes.plain, boxes.tokenizer
    steps = getattr(getattr(plain, "sampling", plain), "steps", None)
    shortened = isinstance(timed, InPrecision) and isinstance(steps, int) and steps > 2
    both = (plain, timed.tokenizer) if shortened else ()
    for tokenizer in both:
        adjusted(tokenizer, {"steps": 2})
    try:
        yield shortened
    finally:
        for tokenizer in both:
            adjusted(tokenizer, {"steps": steps})


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int | None:
    """The most bytes since `forget_peak`, less those that are taken now; None where the device does
    not tell. Replays of CUDA graphs allocate nothing, so that only their making shows it."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)


def tolerance(plain: Tokenizer, expected: Tensor) -> dict[str, float]:
    """By precision; of indices, whose deviation is the share that flips."""
    if not expected.is_floating_point():
        return FLIPPED
    return TOLERANCE if isinstance(plain, MSDD) else OF_OTHERS


def check(name: str, found: Tensor, expected: Tensor, allowed: float) -> float:
    """The deviation of what was found, if it is tolerated."""
    if found.shape != expected.shape:
        raise MsddError(
            f"{name}: shape {list(found.shape)} instead of {list(expected.shape)}; nothing is timed"
        )
    if not torch.isfinite(found).all():
        raise MsddError(f"{name}: the timed path puts out NaN or infinity; nothing is timed")
    deviates = deviation(found, expected)
    if not deviates <= allowed:
        raise MsddError(
            f"{name}: deviates by {deviates:.2g} from the plain path, {allowed:g} is allowed; "
            "nothing is timed"
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
