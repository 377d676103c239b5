"""From what was measured to a protocol's figures, each with its interval."""

import math
from collections.abc import Mapping

import numpy as np

from msdd.evaluate.frechet import frechet_distance
from msdd.evaluate.intervals import bootstrap, bootstraps, pooled_psnr, psnr
from msdd.evaluate.kid import kid
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.statistics import Reference
from msdd.evaluate.tally import Features, Tally, columns, features

Figure = float | dict[str, float]
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
    """Means with `low` and `high`, the ends of a 95 % interval over images; distances."""
    values = per_image(protocol, tally)
    found: dict[str, Figure] = {}
    if values:
        found = {name: spread(*ends) for name, ends in bootstraps(values).items()}
    if "psnr" in values and protocol.psnr.pool != 1:
        found["psnr"] = spread(*pooled(protocol, tally))
    return found | distances(protocol, tally, references)


def spread(mean: float, low: float, high: float) -> dict[str, float]:
    return {"mean": mean, "low": low, "high": high}


def pooled(protocol: Protocol, tally: Tally) -> tuple[float, float, float]:
    """PSNR of errors averaged over groups of consecutive images, or over all pixels of the set."""
    values = tally.sorted_values()
    errors = values[str(columns(protocol)["psnr"])].numpy()
    if protocol.psnr.pool == "all":
        pixels = values["pixels"].double().numpy()
        return pooled_psnr(errors * (pixels / pixels.mean()))
    return bootstrap(groups(errors, protocol.psnr.pool))


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
    if protocol.kid:
        sample = known.features if known else tally.sums[str(real)].sample.features
        if sample is not None and sums.moments.count >= FEWEST_FOR_KID:
            name = protocol.fid.name.replace("fd_", "kd_")
            found[name] = kid(sample, sums.sample.features)
    return found


def jsonable(figure: Figure) -> Figure | dict[str, float | None]:
    """Without infinity, which JSON has not: None, beside `infinite: true`."""
    if isinstance(figure, dict) and not math.isfinite(figure["mean"]):
        return {"mean": None, "low": None, "high": None, "infinite": True}
    return figure
