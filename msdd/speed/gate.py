"""The correctness gate: what puts out something else than the plain variant is not timed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from msdd.device import seconds
from msdd.errors import MsddError
from msdd.speed.precision import InPrecision
from msdd.speed.regions import Inputs, Regions
from msdd.speed.systems import TimedSystem
from msdd.tokenizers.catalogue import adjusted
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.tokenizer import Tokenizer

# Largest deviation of the timed variant from the plain one in fp32, see `deviation`. Another order
# of sums stays far below the first; bf16 was seen to give 0.004 to 0.013 on trained models. Indices
# flip where a latent lies between two codes.
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
OF_OTHERS = {"fp32": 1e-3, "bf16": 1e-1}  # TiTok with random weights was seen to give 0.065
FLIPPED = {"fp32": 1e-2, "bf16": 2e-1}
REGIONS = ("encode", "decode")  # all others are made of these


def admit(
    system: TimedSystem, variant: str, made: Callable[[], Tokenizer], inputs: Inputs, precision: str
) -> tuple[dict, Regions]:
    """What the gate found of a variant, and the regions to time it in.

    made: makes the variant's tokenizer; `build_seconds` are those it takes, compiling included.

    `<region>_deviation` is that of the first encoding and decoding from the plain variant's,
    `<region>_first_seconds` is their time, `memory_bytes` the most they and the making took besides
    what stays. Raises MsddError for another shape, for NaN or infinity, and for a deviation that
    is not tolerated.
    """
    device = inputs.device
    result = {
        "system": system.name,
        "variant": variant,
        "batch": inputs.batch,
        "precision": precision,
    }
    regions = Regions(system.plain, system.plain, inputs)
    forget_peak(device)
    result["build_seconds"] = seconds(lambda: setattr(regions, "tokenizer", made()), device)
    with brief(regions) as shortened:
        found = {region: first(result, region, regions, shortened) for region in REGIONS}
        result["memory_bytes"] = peak(device)
        for region in REGIONS:
            alike = regions.tokenizer is regions.plain
            expected = found[region] if alike else regions.at(region, 0, regions.plain)
            name = f"throughput of {system.name}, {variant} {region}, batch {inputs.batch}"
            allowed = tolerance(regions.plain, expected)[precision]
            result[f"{region}_deviation"] = check(name, found[region], expected, allowed)
    return result, regions


def first(result: dict, region: str, regions: Regions, shortened: bool) -> Tensor:
    """What comes out of a region; its seconds are noted, unless fewer steps were taken."""
    found: list[Tensor] = []
    took = seconds(
        lambda: found.append(regions.at(region, 0, regions.tokenizer)), regions.inputs.device
    )
    if region == "encode" or not shortened:
        result[f"{region}_first_seconds"] = took
    return found[0]


@contextmanager
def brief(regions: Regions) -> Iterator[bool]:
    """Decoders of other systems make two steps, where both variants are the same sampler: it calls
    the same network in all its steps, and the plain variant in fp32 may take an hour for them."""
    plain, timed = regions.plain, regions.tokenizer
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
        raise MsddError(f"{name}: the timed variant puts out NaN or infinity; nothing is timed")
    deviates = deviation(found, expected)
    if not deviates <= allowed:
        raise MsddError(
            f"{name}: deviates by {deviates:.2g} from the plain variant, {allowed:g} is allowed; "
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
