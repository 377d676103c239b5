"""From what was measured to a protocol's metrics, each with its interval."""

import math
from collections.abc import Mapping

import numpy as np

from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.columns import Features, columns, features
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics.frechet import frechet_distance
from msdd.metrics.intervals import MaybeInterval, bootstraps, psnr
from msdd.metrics.kid import kid
from msdd.metrics.pooling import pool_psnr

Metric = float | dict[str, float | None]
FEWEST_FOR_KID = 4


def per_image(protocol: Protocol, accumulator: Accumulator) -> dict[str, np.ndarray]:
    """Values (N,) of each metric in the order of the images; PSNR is that of the image alone."""
    values = accumulator.sorted_values()
    wanted = {name: str(column) for name, column in columns(protocol).items()}
    by_name = {name: values[key].numpy() for name, key in wanted.items() if key in values}
    if "psnr" in by_name:
        by_name["psnr"] = psnr(by_name["psnr"])
    return by_name


def metrics(
    protocol: Protocol, accumulator: Accumulator, references: Mapping[Features, Reference]
) -> dict[str, Metric]:
    """Means with `low` and `high`, the ends of a 95 % interval over images; distances.

    The ends are None where there is no interval.
    """
    values = per_image(protocol, accumulator)
    means: dict[str, Metric] = {}
    if values:
        means = {name: spread(*ends) for name, ends in bootstraps(values).items()}
    if "psnr" in values and protocol.psnr.pool != 1:
        means["psnr"] = spread(*pooled_psnr(protocol, accumulator))
    return means | distances(protocol, accumulator, references)


def spread(mean: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"mean": mean, "low": low, "high": high}


def pooled_psnr(protocol: Protocol, accumulator: Accumulator) -> MaybeInterval:
    """PSNR of errors averaged over groups of consecutive images, or over all pixels of the set."""
    values = accumulator.sorted_values()
    errors = values[str(columns(protocol)["psnr"])].numpy()
    return pool_psnr(protocol.psnr.pool, errors, values["pixels"].double().numpy())


def distances(
    protocol: Protocol, accumulator: Accumulator, references: Mapping[Features, Reference]
) -> dict[str, Metric]:
    """The Fréchet distance under its name, and KID where the protocol has it."""
    if protocol.fid is None:
        return {}
    real, made = features(protocol)
    sums, known = accumulator.sums[str(made)], references.get(real)
    other = known or accumulator.sums[str(real)].moments.cpu()  # like statistics from a file
    by_name: dict[str, Metric] = {protocol.fid.name: frechet_distance(other, sums.moments.cpu())}
    if protocol.kid and not without_kid(protocol, accumulator, references):
        sample = known.features if known else accumulator.sums[str(real)].sample.features
        by_name[protocol.fid.kid_name] = kid(sample, sums.sample.features)
    return by_name


def without_kid(
    protocol: Protocol, accumulator: Accumulator, references: Mapping[Features, Reference]
) -> str | None:
    """Why a protocol has no KID that it should have; None if it has it, or should not."""
    if not protocol.kid:
        return None
    real, made = features(protocol)
    known = references.get(real)
    if known and known.features is None:
        return "the reference holds no features of single images; `--export-reference` writes them"
    count = accumulator.sums[str(made)].moments.count
    if known:
        count = min(count, len(known.features))
    return f"it needs {FEWEST_FOR_KID} images" if count < FEWEST_FOR_KID else None


def is_undefined(metric: Metric) -> bool:
    """Whether it is NaN, or a distance that overflows; a mean may be infinite."""
    if isinstance(metric, dict):
        return metric["mean"] is not None and math.isnan(metric["mean"])
    return not math.isfinite(metric)


def jsonable(metric: Metric) -> Metric | dict[str, float | None]:
    """Without infinity, which JSON has not: None, beside `infinite: true`."""
    if isinstance(metric, dict) and math.isinf(metric["mean"]):
        return {"mean": None, "low": None, "high": None, "infinite": True}
    return metric
