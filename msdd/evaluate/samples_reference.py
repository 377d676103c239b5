"""What samples are compared with: images, or statistics in a file, or both in one."""

import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from msdd import files
from msdd.arrays import read_npz
from msdd.errors import MsddError
from msdd.evaluate import reference_statistics as statistics
from msdd.evaluate.reference_statistics import Reference
from msdd.evaluate.samples_rules import Key, Rules
from msdd.evaluate.samples_sets import ARRAY, ImageSet, image_set
from msdd.evaluate.samples_sums import SetSums
from msdd.evaluate.sources import AS_IS

SPATIAL = ("mu_s", "sigma_s")
IMAGES = 10_000  # that stand in a file beside the statistics, as in guided-diffusion's


@dataclass(frozen=True)
class Given:
    """A reference as it is given.

    images:     None where the file holds statistics alone
    statistics: file with `mu` and `sigma`, which go before those of its images
    told:       what the file says of its statistics: `count`, `identity`; nothing, if another
                program has written it
    """

    place: str
    images: ImageSet | None
    statistics: Path | None = None
    told: dict[str, Any] = field(default_factory=dict)


def open_reference(place: Path | Tensor) -> Given:
    """A folder, a `.npz` file or a tensor; MsddError if it holds neither images nor statistics."""
    if isinstance(place, Tensor):
        return Given("images in memory", image_set(place, "--reference"))
    if place.is_dir() or not place.exists():
        return Given(str(place), image_set(place, "--reference"))
    statistics.check_archive(place)
    names = members(place)
    if "mu" not in names:
        return Given(str(place), image_set(place, "--reference"))
    images = image_set(place, "--reference") if ARRAY in names else None
    return Given(str(place), images, place, told_in(place, names))


def told_in(path: Path, names: list[str]) -> dict[str, Any]:
    """`about` of files of `write`."""
    if "about" not in names:
        return {}
    try:
        told = json.loads(str(read_npz(path, ["about"])["about"]))
    except ValueError as error:
        raise MsddError(f"{path} is not a readable .npz file of statistics: {error}") from error
    return told if isinstance(told, dict) else {}


def members(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_pooled(path: Path, key: Key) -> Reference:
    """The statistics `mu` and `sigma` of a file. MsddError if they are of another network, as far
    as the file tells, or of other dimensions."""
    reference = statistics.read(path, statistics.identity(None, None, *key))
    statistics.check_dimensions(reference, key[0], path)
    return reference


def read_spatial(path: Path) -> Reference:
    """The statistics `mu_s` and `sigma_s` of a file."""
    arrays = read_npz(path, SPATIAL)
    try:
        statistics.check_sides(arrays)
    except ValueError as error:
        raise MsddError(f"{path} is not a readable .npz file of statistics: {error}") from error
    mean, covariance = (arrays[name].astype(np.float64) for name in SPATIAL)
    statistics.check_arrays({"mu": mean, "sigma": covariance}, path)
    return Reference(torch.from_numpy(mean), torch.from_numpy(covariance))


def write(path: Path, images: ImageSet, sums: SetSums, key: Key) -> None:
    """Write an `.npz` with `mu`, `sigma`, `mu_s`, `sigma_s` and `arr_0`, which guided-diffusion's
    evaluator and pytorch_fid read, and `about`.

    `arr_0` has at most 10,000 images, evenly spaced in the set.
    """
    found = sums.sums[key]
    # as of two folders, which may take them
    identity = statistics.identity(images.digest(), f"{AS_IS}, quantisation none", *key)
    about = {"count": len(images.names), "identity": asdict(identity)}
    arrays: dict[str, np.ndarray] = {}
    for names, moments in ((("mu", "sigma"), found.moments), (SPATIAL, found.spatial)):
        if moments is not None:
            values = (moments.mean.cpu().numpy(), moments.covariance.cpu().numpy())
            arrays |= zip(names, values, strict=True)
    arrays["about"] = np.array(json.dumps(about))
    with files.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array)
        with archive.open(f"{ARRAY}.npy", "w", force_zip64=True) as file:
            write_images(file, images)


def write_images(file: IO[bytes], images: ImageSet) -> None:
    """Write at most IMAGES images as an array, uint8 (N, H, W, 3), one image at a time."""
    count = len(images.names)
    kept = min(count, IMAGES)
    shape = (kept, images.size[1], images.size[0], 3)
    about = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    places = (i * count // kept for i in range(kept))
    for (batch,) in images.batches(range(place, place + 1) for place in places):
        file.write(batch.images[0].permute(1, 2, 0).contiguous().numpy().tobytes())


def read_all(
    given: Given, protocols: Iterable[Rules]
) -> tuple[dict[Key, Reference], Reference | None]:
    """The pooled statistics of a file for each network, and the spatial ones; none without."""
    protocols = list(protocols)
    if given.statistics is None:
        return {}, None
    pooled = {key for rules in protocols for key in rules.frechet_keys}
    if len(pooled) > 1:
        told = ", ".join(" behind ".join(filter(None, key)) for key in sorted(pooled))
        raise MsddError(
            f"--reference {given.statistics} holds the statistics of one network's features behind "
            f"one resize, and these protocols take {told}: choose protocols with one of them"
        )
    by_key = {key: read_pooled(given.statistics, key) for key in sorted(pooled)}
    wanted = any(rules.spatial for rules in protocols)
    return by_key, read_spatial(given.statistics) if wanted and has_spatial(given) else None


def has_spatial(given: Given) -> bool:
    """Whether the file has statistics of spatial features."""
    return given.statistics is not None and SPATIAL[0] in members(given.statistics)
