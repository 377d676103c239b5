"""From what was measured of both sets to a protocol's metrics."""

from typing import NamedTuple

import torch
from torch import Tensor

from msdd.device import exact
from msdd.evaluate.distances import (
    WITHOUT_FDR,
    Metric,
    as_metric,
    cmmd_with_size,
    fdr,
    mind_with_size,
)
from msdd.evaluate.reference_statistics import Reference
from msdd.evaluate.samples_rules import Key, Rules
from msdd.evaluate.samples_sums import SetSums
from msdd.evaluate.summary import is_undefined
from msdd.metrics.frechet import Gaussian, frechet_distance
from msdd.metrics.intervals import bootstrap
from msdd.metrics.kid import SIZE, kid_torch_fidelity
from msdd.metrics.manifold import DISTANCES, density_coverage, precision_recall
from msdd.weights.representations import key_of

WITHOUT_IMAGES = "the reference holds statistics, and no images to compare with one by one"
WITHOUT_SPATIAL = "the statistics of the reference lack mu_s and sigma_s"


class Sides(NamedTuple):
    """Samples, images of the reference, and its statistics from a file, which go before those of
    the images; `spatial` is None where a file has none."""

    made: SetSums
    real: SetSums | None
    pooled: dict[Key, Reference]
    spatial: Reference | None


class Figures(NamedTuple):
    """Metrics by name, those of each sample, and the reasons for those that are missing."""

    metrics: dict[str, Metric]
    per_image: dict[str, list[float | None]]
    missing: dict[str, str]


@exact(torch.device("cpu"))  # where the features are
def figures(rules: Rules, sides: Sides) -> Figures:
    """All that the rules ask for."""
    found = Figures({}, {}, {})
    add_distances(rules, sides, found)
    if rules.inception_score:
        found.metrics["inception_score"] = inception_score(rules, sides.made)
    if sides.real is None:
        found.missing.update(dict.fromkeys(rules.of_single_images, WITHOUT_IMAGES))
    else:
        add_kernels(rules, sides, found)
        add_manifolds(rules, sides, found)
    for name in [name for name, value in found.metrics.items() if is_undefined(value)]:
        del found.metrics[name]
        found.missing[name] = "it is no finite number of these features and statistics"
    return found


def add_distances(rules: Rules, sides: Sides, found: Figures) -> None:
    by_network = {key[0]: pooled_distance(sides, key) for key in rules.frechet_keys}
    found.metrics.update({f"fd_{key_of(name)}": value for name, value in by_network.items()})
    if rules.fdr and not (mean := fdr(by_network)):
        found.missing["fdr"] = WITHOUT_FDR
    elif rules.fdr:
        found.metrics.update(mean)
    if rules.spatial and (real := spatial_reference(sides, rules.network)) is None:
        found.missing["sfd_inception"] = WITHOUT_SPATIAL
    elif rules.spatial:
        made = sides.made.sums[rules.network].spatial
        found.metrics["sfd_inception"] = frechet_distance(real, made.cpu())


def pooled_distance(sides: Sides, key: Key) -> float:
    """The Fréchet distance of pooled features."""
    real = sides.pooled.get(key) or sides.real.sums[key].moments.cpu()
    return frechet_distance(real, sides.made.sums[key].moments.cpu())


def spatial_reference(sides: Sides, key: Key) -> Reference | Gaussian | None:
    """None where neither a file of statistics nor the images have it."""
    if sides.spatial is not None or sides.pooled or sides.real is None:
        return sides.spatial
    spatial = sides.real.sums[key].spatial
    return None if spatial is None else spatial.cpu()


def inception_score(rules: Rules, made: SetSums) -> Metric:
    """`std` is the deviation over the splits, as papers print it."""
    place = made.wanted[rules.network].scores.index(rules.inception_score)
    mean, std = made.sums[rules.network].scores[place].score()
    return as_metric(mean, std=std)


def add_kernels(rules: Rules, sides: Sides, found: Figures) -> None:
    """KID, MIND and CMMD, in the order of torch-fidelity's inputs: samples first."""
    shares = rules.shares
    kernels = {name: key for name, key in rules.of_single_images.items() if name not in shares}
    for name, key in kernels.items():
        made, real = (side.rows(key) for side in (sides.made, sides.real))
        if name == "cmmd":
            found.metrics[name] = cmmd_with_size(made, real, ())
        elif name.startswith("mind_"):
            found.metrics[name] = mind_with_size(made, real, ())
        elif min(len(made), len(real)) < SIZE:
            found.missing[name] = f"it needs {SIZE:,} images on both sides"
        else:
            found.metrics[name] = kid_torch_fidelity(made, real)


def add_manifolds(rules: Rules, sides: Sides, found: Figures) -> None:
    if not (names := rules.shares):
        return
    device = sides.made.device
    made, real = (side.rows(rules.network).to(device) for side in (sides.made, sides.real))
    values: list[Tensor] = []
    if wanted := rules.precision_recall:
        values += precision_recall(made, real, wanted.neighbours, DISTANCES[wanted.distances])
    if rules.density_coverage:
        values += density_coverage(made, real, rules.density_coverage.neighbours)
    for name, value in zip(names, values, strict=True):
        numbers = value.double().cpu().numpy()
        found.metrics[name] = as_metric(*bootstrap(numbers))
        if name in ("precision", "density"):
            found.per_image[name] = numbers.tolist()
