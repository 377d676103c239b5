"""From the features of both sides to a protocol's distances, each named for its network."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from msdd.device import exact
from msdd.evaluate.accumulator import Accumulator
from msdd.evaluate.columns import Features, Pair, frechet_pairs, of_single_images, patch_pair
from msdd.evaluate.protocol import Protocol
from msdd.evaluate.reference_statistics import Reference
from msdd.metrics.cmmd import cmmd
from msdd.metrics.frechet import frechet_distance
from msdd.metrics.kid import SIZE, in_order, kid, kid_torch_fidelity
from msdd.metrics.mind import DIRECTIONS, mind
from msdd.weights.representations import FDR, REPRESENTATIONS, key_of

Metric = float | dict[str, Any]
References = Mapping[Features, Reference]
CPU = torch.device("cpu")  # where all features of single images are
WITHOUT_FDR = f"it needs one of the networks {', '.join(FDR)}"
FEWEST = {"kid": 4, "kid_torch_fidelity": SIZE, "mind": 2, "cmmd": 2}  # images


def as_metric(
    mean: float, low: float | None = None, high: float | None = None, **about: object
) -> dict[str, Any]:
    """A mean with the ends of its 95 % interval, if it has one, and what else is known of it."""
    return {"mean": mean, "low": low, "high": high, **about}


@exact(CPU)
def distances(
    protocol: Protocol,
    accumulator: Accumulator,
    references: References,
    names: Sequence[str] = (),
    photographs: Sequence[int] | None = None,
) -> dict[str, Metric]:
    """A protocol's distances by name: Fréchet distances, their mean FDr, and those from features of
    single images (KID, MIND, CMMD), except where `without` has a reason against it. `names` are
    those of all images, in their order. Where `photographs` have several of them, KID has no
    interval: its jackknife takes images as independent."""
    frechet = frechet_distances(protocol, accumulator, references)
    by_name: dict[str, Metric] = {f"fd_{key_of(n)}": value for n, value in frechet.items()}
    if protocol.fdr:
        by_name |= fdr(frechet)
    missing = without(protocol, accumulator, references)
    if protocol.patch_fid and protocol.patch_fid.name not in missing:
        by_name[protocol.patch_fid.name] = of_patches(protocol, accumulator, references)
    for name, (kind, pair) in of_single_images(protocol).items():
        if name not in missing:
            of = names[: pair[1].first]
            by_name[name] = MEASURES[kind](*rows(pair, accumulator, references), of)
            if kind == "kid" and photographs and len(set(photographs)) < len(photographs):
                by_name[name] |= {"low": None, "high": None}
    return by_name


def frechet_distances(
    protocol: Protocol, accumulator: Accumulator, references: References
) -> dict[str, float]:
    """Fréchet distances by network. A reference takes the place of accumulated originals."""
    pairs = frechet_pairs(protocol).items()
    return {network: between(pair, accumulator, references) for network, pair in pairs}


def between(pair: Pair, accumulator: Accumulator, references: References) -> float:
    """The Fréchet distance of the two sides."""
    (real, made), sums = pair, accumulator.sums
    return frechet_distance(
        references.get(real) or sums[str(real)].moments.cpu(),  # like statistics from a file
        sums[str(made)].moments.cpu(),
    )


def of_patches(protocol: Protocol, accumulator: Accumulator, references: References) -> Metric:
    """The distance, with how many patches it is of."""
    pair, side = patch_pair(protocol), protocol.patch_fid.side
    distance = between(pair, accumulator, references)
    return as_metric(distance, patches=patches_of(pair, accumulator), side=side)


def patches_of(pair: Pair, accumulator: Accumulator) -> int:
    """Number of patches of the reconstructions; 0 if there are none."""
    sums = accumulator.sums.get(str(pair[1]))
    return sums.moments.count if sums else 0


def fdr(frechet: Mapping[str, float]) -> dict[str, Metric]:
    """The mean of distances over those of ImageNet's validation set (FD-loss, arXiv 2604.28190),
    under a name that says which networks it holds; nothing where none of them has that figure."""
    known = [network for network in FDR if network in frechet]
    if not known:
        return {}
    ratios = {network: frechet[network] / REPRESENTATIONS[network].validation for network in known}
    mean = sum(ratios.values()) / len(ratios)
    return {fdr_name(known): as_metric(mean, ratios=ratios)}


def fdr_name(networks: Sequence[str]) -> str:
    """`fdr_6` of all six, else with the networks behind the number."""
    short = [key_of(network.removeprefix("fdr-")) for network in networks]
    return "_".join([f"fdr_{len(short)}", *(short if len(short) < len(FDR) else [])])


def without(protocol: Protocol, accumulator: Accumulator, references: References) -> dict[str, str]:
    """Why distances cannot be had that a protocol has, by name."""
    reasons = {}
    if (of := protocol.patch_fid) and patches_of(patch_pair(protocol), accumulator) < 2:
        reasons[of.name] = (
            f"it needs 2 patches of {of.side} px, and of no or one image both sides reach that: "
            "give larger images, or a smaller `patch_fid.side`"
        )
    for name, (kind, (real, made)) in of_single_images(protocol).items():
        known, count = references.get(real), accumulator.sums[str(made)].moments.count
        if known and known.features is None:
            reasons[name] = (
                "the reference holds no features of single images; `--export-reference` writes them"
            )
        elif (min(count, len(known.features)) if known else count) < FEWEST[kind]:
            reasons[name] = f"it needs {FEWEST[kind]:,} images"
    if protocol.fdr and not set(FDR) & frechet_pairs(protocol).keys():
        reasons["fdr"] = WITHOUT_FDR
    return reasons


def rows(pair: Pair, accumulator: Accumulator, references: References) -> tuple[Tensor, Tensor]:
    """Features (n, D) of single originals and reconstructions, in the order of hashes."""
    known, made = references.get(pair[0]), accumulator.sums[str(pair[1])].sample
    real = known.features if known else accumulator.sums[str(pair[0])].sample.features
    return real, made.features


def kid_in_order(x: Tensor, y: Tensor, names: Sequence[str]) -> Metric:
    """torch-fidelity's KID of two sets. A set with a feature for each name is put into their order
    first, because the order decides the draws and a sample is kept in the order of hashes."""
    sides = (in_order(side, names) if len(side) == len(names) else side for side in (x, y))
    return kid_torch_fidelity(*sides)


def mind_with_size(x: Tensor, y: Tensor, _names: Sequence[str]) -> Metric:
    return as_metric(mind(x, y), directions=DIRECTIONS, images=min(len(x), len(y)))


def cmmd_with_size(x: Tensor, y: Tensor, _names: Sequence[str]) -> Metric:
    return as_metric(cmmd(x, y), images=min(len(x), len(y)))


MEASURES: dict[str, Callable[[Tensor, Tensor, Sequence[str]], Metric]] = {
    "kid": lambda x, y, _names: kid(x, y),
    "kid_torch_fidelity": kid_in_order,
    "mind": mind_with_size,
    "cmmd": cmmd_with_size,
}
