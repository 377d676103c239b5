"""From what was measured to a protocol's metrics, each with its interval."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.columns import Features, columns
from msdd.evaluate.distances import distances
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics.intervals import MaybeInterval, bootstraps, psnr
from msdd.metrics.pooling import pool_psnr

Metric = float | dict[str, float | None]


def per_image(protocol: Protocol, accumulator: Accumulator) -> dict[str, np.ndarray]:
    """Values (N,) of each metric in the order of the images; PSNR is that of the image alone."""
    values = accumulator.sorted_values()
    wanted = {name: str(column) for name, column in columns(protocol).items()}
    by_name = {name: values[key].numpy() for name, key in wanted.items() if key in values}
    if "psnr" in by_name:
        by_name["psnr"] = psnr(by_name["psnr"])
    return by_name


def metrics(
    protocol: Protocol,
    accumulator: Accumulator,
    references: Mapping[Features, Reference],
    names: Sequence[str] = (),
) -> dict[str, Metric]:
    """Means with `low` and `high`, the ends of a 95 % interval over images; distances.

    The ends are None where there is no interval. `names` are those of the images.
    """
    values = per_image(protocol, accumulator)
    means: dict[str, Metric] = {}
    if values:
        means = {name: spread(*ends) for name, ends in bootstraps(values).items()}
    if "psnr" in values and protocol.psnr.pool != 1:
        means["psnr"] = spread(*pooled_psnr(protocol, accumulator))
    return means | distances(protocol, accumulator, references, names)


def spread(mean: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"mean": mean, "low": low, "high": high}


def pooled_psnr(protocol: Protocol, accumulator: Accumulator) -> MaybeInterval:
    """PSNR of errors averaged over groups of consecutive images, or over all pixels of the set."""
    values = accumulator.sorted_values()
    errors = values[str(columns(protocol)["psnr"])].numpy()
    return pool_psnr(protocol.psnr.pool, errors, values["pixels"].double().numpy())


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
