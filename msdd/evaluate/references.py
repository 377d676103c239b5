"""The originals' side of Fréchet distances: given in a file, known from earlier runs, or taken."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msdd.errors import MsddError
from msdd.evaluate import reference_statistics
from msdd.evaluate.accumulator import Sums
from msdd.evaluate.columns import Features, features
from msdd.evaluate.protocols import Protocol
from msdd.evaluate.reference_statistics import Identity, Reference
from msdd.weights.pretrained import FEATURES


def originals(protocols: Iterable[Protocol]) -> set[Features]:
    """The originals' features that some protocols need."""
    return {pair[0] for pair in map(features, protocols) if pair}


def identity(real: Features, images: str | None, preparation: str | None) -> Identity:
    """What decides these features; `images` is the digest of the files."""
    rule = preparation and f"{preparation}, quantisation {real.quantisation}"
    return reference_statistics.identity(images, rule, real.network, real.resize or None)


def identities(
    wanted: Iterable[Features], named: tuple[tuple[str, Path], ...], preparation: str
) -> dict[Features, Identity]:
    """Of the features of these files, by the names that images have in the set."""
    wanted = list(wanted)
    counts = {real.first for real in wanted}
    digests = {count: reference_statistics.images_digest(named[:count]) for count in counts}
    return {real: identity(real, digests[real.first], preparation) for real in wanted}


def given(
    path: Path, wanted: Iterable[Features], preparation: str | None
) -> dict[Features, Reference]:
    """The statistics of a file, which say what they are of, unless another program wrote them.

    MsddError if they are of something else, or of features of other dimensions.
    """
    found = {
        real: reference_statistics.read(path, identity(real, None, preparation)) for real in wanted
    }
    for real, reference in found.items():
        if (size := len(reference.mean)) != (wants := FEATURES[real.network].dimensions):
            raise MsddError(f"{path} is of {size} features; {real.network} makes {wants}")
    return found


def kept(known: Mapping[Features, Identity], sampled: set[Features]) -> dict[Features, Reference]:
    """Those that an earlier run has kept, with a sample of features where one is needed."""
    found = {real: reference_statistics.find(name) for real, name in known.items()}
    return {
        real: reference
        for real, reference in found.items()
        if reference and (reference.features is not None or real not in sampled)
    }


def taken(identity: Identity, sums: Sums) -> Reference:
    """The statistics that this run has taken, kept for later ones."""
    reference = Reference.of(identity, sums.moments, sums.sample)
    reference_statistics.keep(reference)
    return reference


def check_asked(protocols: Iterable[Protocol], given: Path | None, export: Path | None) -> None:
    """MsddError where no protocol needs the statistics that are given or to be written, or where
    protocols need several, of which a file holds one."""
    needed = {(p.crop, pair[0]) for p in protocols if (pair := features(p))}
    for option, path in (("--reference", given), ("--export-reference", export)):
        if path and not needed:
            raise MsddError(f"{option} means nothing without a Fréchet distance; leave it out")
    if export and len(needed) > 1:
        raise MsddError(
            "--export-reference writes the statistics of one set of features, and these protocols "
            f"need {len(needed)}: choose one protocol"
        )
