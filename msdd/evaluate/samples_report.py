"""The report of samples against a reference: both measured, and the metrics of every protocol.

Its form is that of `msdd.evaluate.report`, with what is of pairs left out:

    samples, reference      what is compared
    of_reference            what it holds: images, statistics
    images, names, digest   of the samples; size, and classes where names carry them
    warnings                usual mix-ups that can be recognised
    not_measured            metrics that could not be, each with the reason
    protocols.NAME          protocol (its rules), preparation, levels (before its network, where
                            they have changed), metrics, per_image
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.evaluate import loop, samples_rules
from msdd.evaluate import samples_reference as references
from msdd.evaluate.checkpoint import Checkpoint
from msdd.evaluate.distributed import Team
from msdd.evaluate.protocol import OF_PROTOCOL
from msdd.evaluate.protocols import Names, listed_names
from msdd.evaluate.report import Settings, check_measured
from msdd.evaluate.samples_figures import WITHOUT_IMAGES, Sides, figures
from msdd.evaluate.samples_reference import Given, has_spatial, open_reference, read_all
from msdd.evaluate.samples_rules import Key, Rules
from msdd.evaluate.samples_sets import ImageSet, image_set
from msdd.evaluate.samples_sums import (
    SetSums,
    Wanted,
    wanted_by,
    wanted_of_reference,
    wanted_of_samples,
)
from msdd.evaluate.samples_warnings import class_balance, warnings
from msdd.evaluate.sources import AS_IS, deal
from msdd.files import digest
from msdd.pipeline.progress import busy
from msdd.weights.fast_inception import faster_inception
from msdd.weights.inception_parts import InceptionParts, PooledOnly
from msdd.weights.pretrained import identity, tensors
from msdd.weights.pretrained_networks import feature_network, freeze
from msdd.weights.representations import REPRESENTATIONS, levels_of


@dataclass(frozen=True)
class Comparison:
    """Samples, what they are compared with, and by which rules; `left_out` is what these lack, with
    the reasons."""

    place: str
    samples: ImageSet
    reference: Given
    protocols: Mapping[str, Rules]
    left_out: Mapping[str, str] = field(default_factory=dict)


def comparison_of(
    samples: Path | Tensor,
    reference: Path | Tensor,
    protocol: Names | None,
    features: str | None,
    option: str,
) -> Comparison:
    """Samples and a reference, by the protocols that are named, or else by the default ones.

    option: what messages call the samples
    """
    names = listed_names(protocol or samples_rules.DEFAULT)
    rules, lost = samples_rules.chosen(names, features)
    place = "samples in memory" if isinstance(samples, Tensor) else str(samples)
    images, given = image_set(samples, option), open_reference(reference)
    return Comparison(place, images, given, rules, lost)


class Part(NamedTuple):
    """A set of images, and what is taken of it."""

    name: str
    images: ImageSet
    wanted: dict[Key, Wanted]


def opening(comparison: Comparison, settings: Settings) -> dict[str, object]:
    """What a report says before anything is measured; MsddError for too few images."""
    check_counts(comparison)
    samples, given = comparison.samples, comparison.reference
    return {
        "samples": comparison.place,
        "reference": given.place,
        "of_reference": about_reference(given),
        "batch": settings.batch or max(map(len, deal(samples, None))),
        **about_images(samples),
        "names": samples.names,
        "protocol": next(iter(comparison.protocols)),
        "protocols": {name: entry_of(one) for name, one in comparison.protocols.items()},
        "not_measured": dict(comparison.left_out),
        "warnings": warnings(samples, given, comparison.protocols.values()),
        "extremes": {},
    }


def check_counts(comparison: Comparison) -> None:
    sides = {"--samples": comparison.samples, "--reference": comparison.reference.images}
    for name, rules in comparison.protocols.items():
        pairs = (rules.precision_recall, rules.density_coverage)
        most = max((pair.neighbours for pair in pairs if pair), default=0)
        for option, images in sides.items():
            if images and (count := len(images.names)) <= most:
                needs = f"{name} needs at least {most + 1} images for {most} neighbours"
                raise MsddError(f"{needs}; {option} has {count}")


def entry_of(protocol: Rules) -> dict[str, object]:
    """The rules of a protocol, and what its networks see."""
    levels = levels_of(name for name, _ in wanted_by(protocol))
    rules = protocol.model_dump(mode="json", exclude_none=True, exclude={"sources"})
    return {"protocol": rules, "preparation": AS_IS, "levels": levels}


def about_images(images: ImageSet) -> dict[str, object]:
    with busy(f"reading {len(images.names):,} images, for their digest"):
        about = {"images": len(images.names), "digest": images.digest(), "size": [*images.size]}
    return about | ({"classes": class_balance(images.classes)} if images.classes else {})


def about_reference(given: Given) -> dict[str, object]:
    """What a set is: its images, or what the file of its statistics says about them."""
    about = about_images(given.images) if given.images else {}
    if given.statistics is None:
        return about
    told = {name: given.told.get(name) for name in ("count", "identity")}
    return about | {"statistics": {"digest": digest(given.statistics), **told}}


def measure(
    comparison: Comparison,
    report: dict[str, Any],
    settings: Settings,
    team: Team,
    exported: bool = False,
) -> SetSums | None:
    """Measure both sides; in the first process, complete the `report` that `opening` began.

    Returns what was taken of the reference's images, if anything; `exported`: as `export` needs it.
    """
    networks, missing = load_networks(comparison.protocols, settings)
    chosen = {name: one.measurable(networks) for name, one in comparison.protocols.items()}
    check_some_metric(chosen.values(), comparison.reference, missing)
    pooled, spatial = ({}, None) if team.rank else read_all(comparison.reference, chosen.values())
    made = measure_set(of_samples(comparison, chosen), networks, settings, team)
    of_images = of_reference(comparison, chosen, exported)
    real = measure_set(of_images, networks, settings, team) if of_images else None
    if team.rank == 0:
        report["not_measured"] |= missing
        with busy("distances between the two sets"):
            complete(report, chosen, Sides(made, real, pooled, spatial))
        check_measured(report)
    return real


def check_some_metric(protocols: Iterable[Rules], given: Given, missing: Mapping[str, str]) -> None:
    """MsddError where the reference leaves nothing to measure of what the weights do."""
    if given.images or any(one.frechet_keys or one.inception_score for one in protocols):
        return
    if has_spatial(given) and any(one.spatial for one in protocols):
        return
    raise MsddError("; ".join(("no metric is left: " + WITHOUT_IMAGES, *missing.values())))


def complete(report: dict[str, Any], chosen: Mapping[str, Rules], sides: Sides) -> None:
    """Add the metrics of the protocols that were measured."""
    for name, entry in report["protocols"].items():
        found = figures(chosen[name], sides)
        entry |= {"metrics": found.metrics, "per_image": found.per_image}
        report["not_measured"] |= {
            f"{m}{OF_PROTOCOL}{name}": why for m, why in found.missing.items()
        }


def load_networks(
    protocols: Mapping[str, Rules], settings: Settings
) -> tuple[dict[Key, nn.Module], dict[str, str]]:
    """The networks, and what is not measured for want of the others' weights.

    MsddError where one is missing and nothing is to be skipped, or none is left.
    """
    networks: dict[Key, nn.Module] = {}
    missing: dict[str, str] = {}
    unavailable: dict[str, MsddError] = {}  # by weights, which several networks may share
    with busy("reading the weights of the networks that measure"):
        for key in sorted(wanted_of_samples(protocols.values())):
            weights = REPRESENTATIONS[key[0]].weights
            try:
                if weights in unavailable:
                    raise unavailable[weights]
                networks[key] = network(key, settings)
            except MsddError as error:
                unavailable[weights] = error
                if not settings.skip:
                    raise MsddError(f"{error}; or {others(key, protocols)}") from error
                missing |= dict.fromkeys(metrics_on(key, protocols), str(error))
    if not networks:
        raise MsddError(
            f"without the weights, no metric is left: {'; '.join(map(str, unavailable.values()))}"
        )
    return networks, missing


def others(key: Key, protocols: Mapping[str, Rules]) -> str:
    """The options that measure something else than one network does."""
    chosen = any(key == rules.network for rules in protocols.values())
    return f"give {'--features efficientnet-lite0, or ' * chosen}--missing skip for the rest"


def metrics_on(key: Key, protocols: Mapping[str, Rules]) -> list[str]:
    """The metrics of all protocols that need a network."""
    by_protocol = {name: rules.metrics_on(key) for name, rules in protocols.items()}
    return [f"{one}{OF_PROTOCOL}{name}" for name, metrics in by_protocol.items() for one in metrics]


def network(key: Key, settings: Settings) -> nn.Module:
    """What makes `Parts` of images."""
    name, resize = key
    if name == "inception":
        parts = freeze(InceptionParts(tensors(name), resize), settings.device)
        return faster_inception(parts, settings.device)
    return PooledOnly(faster_inception(feature_network(name, settings.device), settings.device))


def of_samples(comparison: Comparison, chosen: Mapping[str, Rules]) -> Part:
    return Part("samples", comparison.samples, wanted_of_samples(chosen.values()))


def of_reference(
    comparison: Comparison, chosen: Mapping[str, Rules], exported: bool
) -> Part | None:
    """None where nothing is wanted of its images, or it has none."""
    given = comparison.reference
    wanted = wanted_of_reference(chosen.values(), exported)
    if given.statistics:  # which go before those of the images
        only = {key: Wanted(rows=one.rows) for key, one in wanted.items()}
        wanted = {key: one for key, one in only.items() if any(one)}
    return Part("reference", given.images, wanted) if given.images and wanted else None


def measure_set(
    part: Part, networks: Mapping[Key, nn.Module], settings: Settings, team: Team
) -> SetSums:
    """The sums of a set, whole in the first process."""
    sums = SetSums(part.wanted, networks, len(part.images.names), settings.device)
    checkpoint = None
    if settings.work:
        checkpoint = Checkpoint(settings.work / part.name, state_key(part, settings))
    loop.measure_source(part.images, sums, settings.batch, part.name, team, checkpoint)
    return sums


def state_key(part: Part, settings: Settings) -> str:
    """A digest of everything that decides what is taken of a set."""
    parts = {
        "wanted": [f"{key} {one}" for key, one in part.wanted.items()],
        "weights": {n: identity(REPRESENTATIONS[n].weights) for n, _ in part.wanted},
        "batch": settings.batch,
        "device": str(settings.device.type),
        "images": part.images.identity(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_export(comparison: Comparison, path: Path | None) -> None:
    """MsddError where --export-reference has no one set of statistics to write."""
    if path is None:
        return
    if comparison.reference.statistics or not comparison.reference.images:
        raise MsddError("--export-reference: --reference holds statistics already; leave it out")
    wanted = wanted_of_reference(comparison.protocols.values())
    if (several := sum(one.frechet for one in wanted.values())) != 1:
        raise MsddError(
            "--export-reference writes the statistics of one set of features, and these protocols "
            f"need {several}: choose one protocol with one Fréchet distance"
        )


def export(path: Path, comparison: Comparison, sums: SetSums | None) -> None:
    """Write the statistics of the reference's images, as `samples_reference.write` does."""
    keys = [key for key, one in sums.wanted.items() if one.frechet] if sums else []
    if not keys:
        raise MsddError(f"{path} is not written: no Fréchet distance could be measured")
    references.write(path, comparison.reference.images, sums, keys[0])
