"""From what was measured to a protocol's metrics, each with its interval."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.columns import PARTIAL, Features, columns
from msdd.evaluate.distances import Metric, as_metric, distances
from msdd.evaluate.latent_sums import LatentSums, sums_for
from msdd.evaluate.protocol import OF_LATENTS, Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics.intervals import MaybeInterval, bootstraps, groups_of, psnr
from msdd.metrics.pooling import pool_psnr


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
    photographs: Sequence[int] | None = None,
) -> dict[str, Metric]:
    """Means with `low` and `high`, the ends of a 95 % interval over images; distances.

    The ends are None where there is no interval. `names` are those of the images, `photographs` say
    of which photograph each is.
    """
    values, groups = per_image(protocol, accumulator), groups_of(photographs)
    means: dict[str, Metric] = {}
    whole = {name: column for name, column in values.items() if name not in PARTIAL}
    if whole:
        means = {name: as_metric(*ends) for name, ends in bootstraps(whole, groups).items()}
    means |= partial_means(values, groups)
    if "psnr" in values and protocol.psnr.pool != 1:
        means["psnr"] = as_metric(*pooled_psnr(protocol, accumulator, groups))
    of_latents = {
        name: value
        for sums in latent_sums(protocol, accumulator).values()
        if not isinstance(sums, str)
        for name, value in sums.metrics().items()
    }
    of_sets = distances(protocol, accumulator, references, names, photographs)
    return means | of_sets | of_latents


def partial_means(
    values: Mapping[str, np.ndarray], groups: Sequence[int] | None
) -> dict[str, Metric]:
    """Means of what some images have not, over those that have it; none where no image has."""
    means: dict[str, Metric] = {}
    for here, some in by_images(values).items():
        mask = np.frombuffer(here, bool)
        own = None if groups is None else np.asarray(groups)[mask].tolist()
        few = mask.sum() < 2 or own is not None and len(set(own)) < 2
        ends = bootstraps({name: column[mask] for name, column in some.items()}, own)
        means |= {n: as_metric(x[0]) if few else as_metric(*x) for n, x in ends.items()}
    return {name: means[name] for name in values if name in means}


def by_images(values: Mapping[str, np.ndarray]) -> dict[bytes, dict[str, np.ndarray]]:
    """Columns by the mask of the images that have them, as those resample together."""
    groups: dict[bytes, dict[str, np.ndarray]] = {}
    for name in (name for name in values if name in PARTIAL):
        mask = ~np.isnan(values[name])
        if mask.any():
            groups.setdefault(mask.tobytes(), {})[name] = values[name]
    return groups


def images_with(protocol: Protocol, accumulator: Accumulator) -> dict[str, int]:
    """How many images have each of the metrics that some have not."""
    values = per_image(protocol, accumulator)
    return {
        name: int((~np.isnan(column)).sum()) for name, column in values.items() if name in PARTIAL
    }


def without_images(protocol: Protocol, accumulator: Accumulator) -> dict[str, str]:
    """Why metrics that some images may have are of none."""
    counted = images_with(protocol, accumulator)
    reasons = {
        "top1": "no image has a class: a WordNet id of ImageNet-1K in its name or its folders, or "
        "a row in the table that the protocol's `classes.labels` names",
        "text_accuracy": "no text was found in any original",
        "face_same": "no face was found in any original",
        "bpp": "the reconstructions are no files of a lossy codec (JPEG, AVIF, lossy WebP), nor "
        "made of codes of a codebook whose size is known",
        "text_cer_truth": "no image is in the table that the protocol's `text.transcripts` names",
    }
    return {name: reason for name, reason in reasons.items() if counted.get(name) == 0}


def latent_sums(protocol: Protocol, accumulator: Accumulator) -> dict[str, LatentSums | str]:
    """The sums that a protocol's `codes` and `latents` are of, or why there are none."""
    wanted = (key for key in OF_LATENTS if getattr(protocol, key))
    return {key: sums_for(key, accumulator.latent_sums) for key in wanted}


def without_latents(protocol: Protocol, accumulator: Accumulator) -> dict[str, str]:
    """Why a protocol's `codes` or `latents` are not measured."""
    found = latent_sums(protocol, accumulator).items()
    return {key: reason for key, reason in found if isinstance(reason, str)}


def about_latents(protocol: Protocol, accumulator: Accumulator) -> dict[str, dict]:
    """What is known about codes and latents beyond their metrics, for JSON."""
    found = latent_sums(protocol, accumulator).items()
    return {key: sums.about() for key, sums in found if not isinstance(sums, str)}


def about_faces(protocol: Protocol, accumulator: Accumulator) -> dict[str, dict]:
    """The networks that found and embedded the faces, for JSON."""
    return {"faces": accumulator.networks.alone["faces"].about} if protocol.faces else {}


def pooled_psnr(
    protocol: Protocol, accumulator: Accumulator, groups: Sequence[int] | None
) -> MaybeInterval:
    """PSNR of errors averaged over groups of consecutive images, or over all pixels of the set."""
    values = accumulator.sorted_values()
    errors = values[str(columns(protocol)["psnr"])].numpy()
    return pool_psnr(protocol.psnr.pool, errors, values["pixels"].double().numpy(), groups)


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
