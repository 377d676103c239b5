"""From what was measured to a protocol's figures, each with its interval."""

import math
from collections.abc import Mapping

import numpy as np

from msdd.evaluate.accumulator import Tally
from msdd.evaluate.columns import Features, columns, features
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics.frechet import frechet_distance
from msdd.metrics.intervals import MaybeInterval, bootstrap, bootstraps, pooled_psnr, psnr
from msdd.metrics.kid import kid

Figure = float | dict[str, float | None]
FEWEST_FOR_KID = 4


def per_image(protocol: Protocol, tally: Tally) -> dict[str, np.ndarray]:
    """Values (N,) of each figure in the order of the images; PSNR is that of the image alone."""
    values = tally.sorted_values()
    wanted = {name: str(column) for name, column in columns(protocol).items()}
    found = {name: values[key].numpy() for name, key in wanted.items() if key in values}
    if "psnr" in found:
        found["psnr"] = psnr(found["psnr"])
    return found


def figures(
    protocol: Protocol, tally: Tally, references: Mapping[Features, Reference]
) -> dict[str, Figure]:
    """Means with `low` and `high`, the ends of a 95 % interval over images; distances.

    The ends are None where there is no interval.
    """
    values = per_image(protocol, tally)
    found: dict[str, Figure] = {}
    if values:
        found = {name: spread(*ends) for name, ends in bootstraps(values).items()}
    if "psnr" in values and protocol.psnr.pool != 1:
        found["psnr"] = spread(*pooled(protocol, tally))
    return found | distances(protocol, tally, references)


def spread(mean: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"mean": mean, "low": low, "high": high}


def pooled(protocol: Protocol, tally: Tally) -> MaybeInterval:
    """PSNR of errors averaged over groups of consecutive images, or over all pixels of the set.

    One group leaves no interval.
    """
    values = tally.sorted_values()
    errors = values[str(columns(protocol)["psnr"])].numpy()
    if protocol.psnr.pool == "all":
        return pooled_psnr(weighted(errors, values["pixels"].double().numpy()))
    found = groups(errors, protocol.psnr.pool)
    return bootstrap(found) if len(found) > 1 else (float(found[0]), None, None)


def weighted(errors: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Errors whose mean over images is that over all their pixels."""
    return errors * (pixels / pixels.mean())


def groups(errors: np.ndarray, size: int) -> np.ndarray:
    """One value for each group of `size` images; their mean is the mean over images of the PSNR of
    an image's group.

    The last group may be short. Its PSNR then counts less: by as much it is moved to the mean.
    """
    starts = np.arange(0, len(errors), size)
    counts = np.diff([*starts, len(errors)])
    values = psnr(np.add.reduceat(errors, starts) / counts)
    if not np.isfinite(values).all():
        return values
    mean = np.average(values, weights=counts)
    return mean + (values - mean) * (counts / counts.mean())


def distances(
    protocol: Protocol, tally: Tally, references: Mapping[Features, Reference]
) -> dict[str, Figure]:
    """The Fréchet distance under its name, and KID where the protocol has it."""
    if protocol.fid is None:
        return {}
    real, made = features(protocol)
    sums, known = tally.sums[str(made)], references.get(real)
    other = known or tally.sums[str(real)].moments.cpu()  # like statistics from a file
    found: dict[str, Figure] = {protocol.fid.name: frechet_distance(other, sums.moments.cpu())}
    if protocol.kid and not without_kid(protocol, tally, references):
        sample = known.features if known else tally.sums[str(real)].sample.features
        name = protocol.fid.name.replace("fd_", "kd_")
        found[name] = kid(sample, sums.sample.features)
    return found


def without_kid(
    protocol: Protocol, tally: Tally, references: Mapping[Features, Reference]
) -> str | None:
    """Why a protocol has no KID that it should have; None if it has it, or should not."""
    if not protocol.kid:
        return None
    real, made = features(protocol)
    known = references.get(real)
    if known and known.features is None:
        return "the reference holds no features of single images; `--export-reference` writes them"
    count = tally.sums[str(made)].moments.count
    if known:
        count = min(count, len(known.features))
    return f"it needs {FEWEST_FOR_KID} images" if count < FEWEST_FOR_KID else None


def jsonable(figure: Figure) -> Figure | dict[str, float | None]:
    """Without infinity, which JSON has not: None, beside `infinite: true`."""
    if isinstance(figure, dict) and not math.isfinite(figure["mean"]):
        return {"mean": None, "low": None, "high": None, "infinite": True}
    return figure
