"""The correctness gate: a variant whose output differs from the plain one's is not timed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from msdd.device import seconds
from msdd.errors import MsddError
from msdd.fast import fidelity
from msdd.speed.precision import InPrecision
from msdd.speed.regions import Inputs, Regions
from msdd.speed.systems import TimedSystem
from msdd.tokenizers.catalogue import with_settings
from msdd.tokenizers.msdd import MSDD
from msdd.tokenizers.tokenizer import Tokenizer

# Largest `deviation` of the timed variant from the plain one in fp32. Summing in another order
# stays far below the limit of fp32; bf16 gave 0.004 to 0.013 on trained models. An index flips
# where a latent lies between two codes.
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
OF_OTHERS = {"fp32": 1e-3, "bf16": 1e-1}  # TiTok with random weights gave 0.065
FLIPPED = {"fp32": 1e-2, "bf16": 2e-1}
HALVES = ("encode", "decode")  # the other regions consist of these


def admit(
    system: TimedSystem, variant: str, make: Callable[[], Tokenizer], inputs: Inputs, precision: str
) -> tuple[dict, Regions]:
    """Build a variant, and compare its first encoding and decoding with the plain variant's.

    Returns the findings, ready for JSON, and the regions to time the variant in. The findings are
    `build_seconds`, the time of `make`, compiling included; for `encode` and `decode`, or `both`
    where these are not apart, `<region>_deviation` (see `deviation`) and `<region>_first_seconds`;
    those of `kept`, but of the plain variant itself; and `memory_bytes`, the peak of all of this
    above what stays allocated (None on a processor).

    Raises MsddError for a wrong shape, for NaN or infinity, and for a deviation beyond tolerance.
    """
    device = inputs.device
    result = {
        "system": system.name,
        "variant": variant,
        "batch": inputs.batch,
        "precision": precision,
    }
    regions = Regions(system.plain, system.plain, inputs)
    parts = HALVES if system.plain.apart else ("both",)
    forget_peak(device)
    result["build_seconds"] = seconds(lambda: setattr(regions, "tokenizer", make()), device)
    with brief(regions) as shortened:
        outputs = {region: first(result, region, regions, shortened) for region in parts}
        result["memory_bytes"] = peak(device)
        alike = regions.tokenizer is regions.plain
        for region in parts:
            expected = outputs[region] if alike else regions.at(region, 0, regions.plain)
            name = f"throughput of {system.name}, {variant} {region}, batch {inputs.batch}"
            allowed = tolerances(regions.plain, expected, region)[precision]
            result[f"{region}_deviation"] = check(name, outputs[region], expected, allowed)
        if not alike:
            result |= fidelity_of_images(outputs[region], expected, inputs.images[0])
            if precision == "int8":
                fidelity.check(name, outputs["decode"], expected)
    return result, regions


def first(result: dict, region: str, regions: Regions, shortened: bool) -> Tensor:
    """The output of a region's first call; its seconds go into `result` unless shortened."""
    outputs: list[Tensor] = []
    took = seconds(
        lambda: outputs.append(regions.at(region, 0, regions.tokenizer)), regions.inputs.device
    )
    if region == "encode" or not shortened:
        result[f"{region}_first_seconds"] = took
    return outputs[0]


@contextmanager
def brief(regions: Regions) -> Iterator[bool]:
    """Let samplers of other systems take two steps inside the block; yields whether they do.

    Both variants are the same sampler then, which calls one network in all steps, and the plain
    variant in fp32 may take an hour for all of them.
    """
    plain, timed = regions.plain, regions.tokenizer
    steps = getattr(getattr(plain, "sampling", plain), "steps", None)
    shortened = isinstance(timed, InPrecision) and isinstance(steps, int) and steps > 2
    both = (plain, timed.tokenizer) if shortened else ()
    for tokenizer in both:
        with_settings(tokenizer, {"steps": 2})
    try:
        yield shortened
    finally:
        for tokenizer in both:
            with_settings(tokenizer, {"steps": steps})


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> int | None:
    """Bytes of GPU memory at the peak since `forget_peak`, minus those allocated now; else None.

    Replays of CUDA graphs allocate nothing: only the calls that record them show a peak.
    """
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)


def fidelity_of_images(output: Tensor, expected: Tensor, originals: Tensor) -> dict[str, float]:
    """PSNR in dB of decoded images against the plain variant's, and how much less they have against
    the originals.
    """
    loss = fidelity.psnr(expected, originals) - fidelity.psnr(output, originals)
    return {"decode_psnr": fidelity.psnr(output, expected), "decode_psnr_loss": loss}


def tolerances(plain: Tokenizer, expected: Tensor, region: str) -> dict[str, float]:
    """The largest `deviation` of such outputs that passes, by precision.

    INT8 encodes in fp32, and its images have a gate of their own (`msdd.fast.fidelity`).
    """
    if not expected.is_floating_point():
        return FLIPPED
    allowed = TOLERANCE if isinstance(plain, MSDD) else OF_OTHERS
    return allowed | {"int8": math.inf if region == "decode" else allowed["fp32"]}


def check(name: str, output: Tensor, expected: Tensor, allowed: float) -> float:
    """The deviation of `output` from `expected`; raises MsddError beyond `allowed`."""
    if output.shape != expected.shape:
        raise MsddError(
            f"{name}: shape {list(output.shape)} instead of {list(expected.shape)}; "
            "nothing is timed"
        )
    if not torch.isfinite(output).all():
        raise MsddError(f"{name}: the timed variant puts out NaN or infinity; nothing is timed")
    deviates = deviation(output, expected)
    if not deviates <= allowed:
        raise MsddError(
            f"{name}: deviates by {deviates:.2g} from the plain variant, {allowed:g} is allowed; "
            "nothing is timed"
        )
    return deviates


def deviation(output: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference, relative to the standard deviation of `expected`.

    Of integers, which are indices of a discrete tokenizer, it is the share of those that differ.
    """
    if not expected.is_floating_point():
        return (output != expected).double().mean().item()
    error = (output.double() - expected.double()).square().mean().sqrt()
    return (error / expected.double().std(correction=0)).item()
