"""Statistics of the originals' features, for Fréchet distances.

A run computes them, caches them for later runs, or exchanges them with pytorch_fid in a file.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msdd import files
from msdd.arrays import read_npz
from msdd.data.image_folder import images_digest
from msdd.errors import MsddError
from msdd.evaluate.accumulator import Sums
from msdd.evaluate.columns import Features, all_pairs
from msdd.evaluate.protocol import Protocol
from msdd.metrics.frechet import Moments
from msdd.metrics.kid import Sample
from msdd.pipeline.fingerprint import closure_digest
from msdd.weights import pretrained
from msdd.weights.pretrained import cache_folder
from msdd.weights.representations import REPRESENTATIONS


@dataclass(frozen=True)
class Identity:
    """All that decides the features of a set.

    images:      digest of the set's images, as `images_digest` makes one
    preparation: what happens to an image before the network: crop, size, kernel, rounding
    features:    name of the network
    weights:     digest of its weights
    resize:      how the network resizes, where it has a choice
    levels:      what levels become before it, where that has changed between versions
    """

    images: str | None
    preparation: str
    features: str
    weights: str
    resize: str | None = None
    levels: str | None = None

    @property
    def key(self) -> str:
        """A digest of all of it, and of the code that makes features of images."""
        code = [closure_digest(f"msdd.evaluate.{name}") for name in ("sources", "accumulator")]
        whole = json.dumps([asdict(self), code], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True)
class Reference:
    """Mean (D,) and covariance (D, D) in float64 of a set's features.

    count, the number of images, and identity are None in files of other programs, which do not
    tell. features (n, D) are those of a `Sample`, for KID, and may be missing.
    """

    mean: Tensor
    covariance: Tensor
    count: int | None = None
    identity: Identity | None = None
    features: Tensor | None = None

    @classmethod
    def of(cls, identity: Identity, moments: Moments, sample: Sample | None = None) -> "Reference":
        features = sample.features if sample else None
        return cls(moments.mean.cpu(), moments.covariance.cpu(), moments.count, identity, features)


def identity(images: str | None, preparation: str | None, network: str, resize: str) -> Identity:
    """What identifies the statistics of images seen through
    `msdd.weights.pretrained_networks.feature_network`; `resize` is empty where a network has no
    choice."""
    about = REPRESENTATIONS[network]
    weights = pretrained.identity(about.weights)
    return Identity(images, preparation, network, weights, resize or None, about.levels)


def identity_of(real: Features, images: str | None, preparation: str | None) -> Identity:
    """What decides these features; `images` is the digest of the files."""
    rule = preparation and f"{preparation}, quantisation {real.quantisation}"
    if rule and real.patch:
        rule += f", patches of {real.patch} px"
    return identity(images, rule, real.network, real.resize)


def identities(
    wanted: Iterable[Features], named: tuple[tuple[str, Path], ...], preparation: str
) -> dict[Features, Identity]:
    """What identifies the statistics of each feature of the files `named`: pairs of an image's name
    in the set and its path."""
    wanted = list(wanted)
    counts = {real.first for real in wanted}
    digests = {count: images_digest(named[:count]) for count in counts}
    return {real: identity_of(real, digests[real.first], preparation) for real in wanted}


def features_of_originals(protocols: Iterable[Protocol]) -> set[Features]:
    """The originals' features that some protocols need."""
    return {real for protocol in protocols for real, _ in all_pairs(protocol)}


def check_options(
    protocols: Iterable[Protocol], reference: Path | None, export: Path | None
) -> None:
    """MsddError where no protocol needs the statistics that are given or to be written, or where
    protocols need several, of which a file holds one."""
    needed = {(p.crop, real) for p in protocols for real, _ in all_pairs(p)}
    for option, path in (("--reference", reference), ("--export-reference", export)):
        if path and not needed:
            raise MsddError(f"{option} means nothing without a Fréchet distance; leave it out")
    kinds = {seen_by(real) for _, real in needed}
    if reference and len(kinds) > 1:
        raise MsddError(
            "--reference holds the statistics of one network's features, and these protocols take "
            f"{', '.join(sorted(kinds))}: choose a protocol with one of them"
        )
    if export and len(needed) > 1:
        raise MsddError(
            "--export-reference writes the statistics of one set of features, and these protocols "
            f"need {len(needed)}: choose one protocol"
        )


def seen_by(real: Features) -> str:
    """A network, the resize before it, and of what it sees patches."""
    network = f"{real.network} behind {real.resize}" if real.resize else real.network
    return f"{network} on patches of {real.patch} px" if real.patch else network


def write(path: Path, reference: Reference) -> None:
    """Write an .npz with `mu` and `sigma`, which pytorch_fid reads, and `about` and `features`."""
    about = {"count": reference.count, "identity": None}
    if reference.identity:
        about["identity"] = asdict(reference.identity)
    arrays = {"mu": reference.mean.cpu().numpy(), "sigma": reference.covariance.cpu().numpy()}
    if reference.features is not None:
        arrays["features"] = reference.features.cpu().numpy()
    with files.atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, about=json.dumps(about))


def read(path: Path, expected: Identity | None = None) -> Reference:
    """A file of `write` or of pytorch_fid; runs no code of the file's.

    expected: what the statistics must be of, as far as the file tells; its fields that are None are
    not compared.
    MsddError for a file that is not readable, holds no statistics, or those of something else.
    """
    check_archive(path)
    try:
        arrays = read_npz(path, known_members(path))
        about = json.loads(str(arrays.get("about", "{}")))
        check_sides(arrays)
        arrays |= {name: arrays[name].astype(np.float64) for name in NAMES[:2] if name in arrays}
        known = Identity(**about["identity"]) if about.get("identity") else None
        count = about.get("count")
    except Exception as error:  # every damage has its own exception
        raise MsddError(f"{path} is not a readable .npz file of statistics: {error}") from error
    check_arrays(arrays, path)
    if expected and known:
        check_identity(known, expected, path)
    mean, covariance = (torch.from_numpy(arrays[name]) for name in NAMES[:2])
    features = torch.from_numpy(arrays["features"]) if "features" in arrays else None
    return Reference(mean, covariance, count if isinstance(count, int) else None, known, features)


NAMES = ("mu", "sigma", "about", "features")
LARGEST = 8192  # features: four times those of Inception; eigenvalues take the cube of it
NEGATIVE = 1e-4  # of the largest eigenvalue: what the rounding of sigma to float32 stays far below


def known_members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name for name in NAMES if f"{name}.npy" in archive.namelist()]


def check_sides(arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError for more features than any network has, and for features that are no numbers."""
    for name, array in arrays.items():
        if name != "about" and (array.dtype.kind not in "fiu" or array.shape[-1:] > (LARGEST,)):
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    if "features" in arrays and arrays["features"].ndim != 2:
        raise ValueError(f"features is of shape {arrays['features'].shape}")


def check_archive(path: Path) -> None:
    """NumPy takes any other file for a pickle, and says so."""
    if path.is_dir():
        raise MsddError(
            f"--reference {path} is a folder: of pairs it takes statistics (.npz); a folder of "
            "images is for --samples"
        )
    try:
        with open(path, "rb") as file:
            whole = zipfile.is_zipfile(file)
    except OSError as error:
        raise MsddError(f"{path} cannot be read: {error.strerror}") from error
    if not whole:
        raise MsddError(f"{path} is no .npz file, or only a part of one")


def check_arrays(arrays: dict[str, np.ndarray], path: Path) -> None:
    """MsddError unless mu and sigma are the moments of some features."""
    mean, covariance = (arrays[name].shape if name in arrays else None for name in NAMES[:2])
    if mean is None or len(mean) != 1 or covariance != mean * 2:
        raise MsddError(
            f"{path} holds no statistics: it needs mu (D,) and sigma (D, D), as pytorch_fid writes "
            f"them, and has {mean} and {covariance}"
        )
    for name in ("mu", "sigma", "features"):
        if name in arrays and not np.isfinite(arrays[name]).all():
            raise MsddError(f"{path} holds no statistics: its {name} contains NaN or infinity")
    check_covariance(arrays["sigma"], path)


def check_covariance(sigma: np.ndarray, path: Path) -> None:
    """MsddError unless it is symmetric and without eigenvalues below 0, up to rounding."""
    if not np.allclose(sigma, sigma.T, rtol=1e-5, atol=1e-6 * np.abs(sigma).max()):
        raise MsddError(f"{path}: its sigma is no covariance, for it is not symmetric")
    values = np.linalg.eigvalsh(sigma)
    if values[0] < -NEGATIVE * np.abs(values).max():
        raise MsddError(
            f"{path}: its sigma is no covariance: it has the eigenvalue {values[0]:.3g}"
        )


def check_identity(known: Identity, expected: Identity, path: Path) -> None:
    for name, wanted in asdict(expected).items():
        given = getattr(known, name)
        if wanted is not None and given != wanted:
            raise MsddError(
                f"{path} has statistics of {name} '{given}' where this evaluation has '{wanted}': "
                "delete it or leave it out, and they are computed anew"
            )


def read_given(
    path: Path, wanted: Iterable[Features], preparation: str | None
) -> dict[Features, Reference]:
    """The statistics of a file, which say what they are of, unless another program wrote them.

    MsddError if they are of something else, or of features of other dimensions.
    """
    by_features = {real: read(path, identity_of(real, None, preparation)) for real in wanted}
    for real, reference in by_features.items():
        check_dimensions(reference, real.network, path)
    return by_features


def check_dimensions(reference: Reference, network: str, path: Path) -> None:
    if (size := len(reference.mean)) != (wants := REPRESENTATIONS[network].dimensions):
        raise MsddError(f"{path} is of {size} features; {network} makes {wants}")


def tell_mix_up(path: Path, references: Mapping[Features, Reference], images: int) -> None:
    """Say where statistics are visibly of another set than the originals: of another count, or of
    the form in which guided-diffusion publishes those of training sets."""
    whose = "rFID is to the originals themselves, not to a training set"
    for real, reference in references.items():
        count = real.first or images
        if not real.patch and reference.count not in (None, count):
            of = f"{reference.count:,} images, the originals are {count:,}"
            print(f"msdd: --reference {path} is of {of}: {whose}", file=sys.stderr)
    with zipfile.ZipFile(path) as archive:
        like_theirs = {"mu_s.npy", "about.npy"} & set(archive.namelist()) == {"mu_s.npy"}
    if references and like_theirs:
        of = "statistics as guided-diffusion publishes them, of a whole training set"
        print(f"msdd: --reference {path} holds {of}: {whose}", file=sys.stderr)


def cache_path(wanted: Identity) -> Path:
    """Named for all that decides the statistics, so they never go stale."""
    return cache_folder().with_name("statistics") / f"{wanted.key}.npz"


def read_cached(wanted: Identity) -> Reference | None:
    """The statistics that an earlier run has cached of the very same set, if any.

    A damaged file counts as none: the run computes the statistics again and replaces it.
    """
    try:
        return read(cache_path(wanted), wanted)
    except MsddError:
        return None


def cached_statistics(
    wanted: Mapping[Features, Identity], sampled: set[Features]
) -> dict[Features, Reference]:
    """Those that an earlier run has cached, with a sample of features where one is needed."""
    cached = {real: read_cached(name) for real, name in wanted.items()}
    return {
        real: reference
        for real, reference in cached.items()
        if reference and (reference.features is not None or real not in sampled)
    }


def cache_statistics(identity: Identity, sums: Sums) -> Reference:
    """The statistics that this run has computed, kept for later ones where that is possible."""
    reference = Reference.of(identity, sums.moments, sums.sample)
    with files.unwritten("the originals' statistics are not kept for later runs"):
        write(cache_path(identity), reference)
    return reference
