"""The ways to evaluate that `evaluation_speed.py` times, by task; each takes a number of pairs."""

import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

SIDE = 256
Ways = dict[str, Callable[[int], object]]


def prepare(folder: Path, place: Path, count: int) -> None:
    """Crops and what is made of them as PNG files, and the weights of all networks."""
    from random_inception import random_inception
    from straightforward import crops, written

    from msdd.weights.pretrained import SOURCES, cache_folder, tensors

    for name, images in zip(("real", "made"), crops(folder, SIDE, count), strict=True):
        written(images, place / name)
    (place / "weights").mkdir()
    for name in ("alexnet", "vgg16"):
        tensors(name)
        shutil.copy(cache_folder() / f"{name}.safetensors", place / "weights")
    torch.save(random_inception(), place / "weights" / SOURCES["inception"].file)


def link_first(place: Path, count: int) -> None:
    """Folders of the first so many images."""
    for name, side in zip(("real", "made"), paths(place, count), strict=True):
        (place / f"{name}-{count}").mkdir()
        for path in side:
            (place / f"{name}-{count}" / path.name).symlink_to(path)


def paths(place: Path, count: int) -> list[list[Path]]:
    return [sorted((place / name).iterdir())[:count] for name in ("real", "made")]


def ways_of_msdd(place: Path) -> Ways:
    """Of the checkout that is imported; each takes a number of pairs and gives its figure."""
    import msdd
    from msdd import files
    from msdd.evaluate.accumulator import Accumulator
    from msdd.evaluate.networks import Networks
    from msdd.evaluate.protocols import load
    from msdd.metrics.frechet import Moments, frechet_distance, kept
    from msdd.metrics.perceptual import Lpips
    from msdd.weights.pretrained import SOURCES

    os.environ |= {"MSDD_WEIGHTS": str(place / "weights")}
    source = SOURCES["inception"]
    digest = files.digest(place / "weights" / source.file)
    SOURCES["inception"] = replace(source, digest=digest)
    cpu = torch.device("cpu")
    protocols = load(["primary"])
    accumulator = Accumulator(protocols, Networks(protocols.values(), cpu))
    wanted = accumulator.features[0]
    measurer = getattr(accumulator, "measurer", accumulator)  # the earlier commit has none

    def features(count: int) -> float:
        with torch.inference_mode():
            for images in read(place, count):
                (made,) = measurer.features_of(wanted, images)
        return made.mean().item()

    def distance(count: int) -> float:
        kept.clear()
        sums = [Moments(2048), Moments(2048)]
        for side, features in zip(sums, random_features(count), strict=True):
            side.update(features)
        return frechet_distance(*sums)

    def primary(count: int) -> float:
        some = [place / f"{name}-{count}" for name in ("real", "made")]
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache  # where statistics of the originals are kept
            kept.clear()  # distances of an earlier round
            sides = {"originals": some[0], "reconstructions": some[1]}
            report = msdd.evaluate(**sides, device="cpu")
        return report["protocols"]["primary"]["metrics"]["lpips_vgg"]["mean"]

    @torch.inference_mode()
    def parts(count: int) -> dict[str, float]:
        """Seconds of each part of `primary`."""
        from msdd.evaluate.accumulator import Sums
        from msdd.metrics.kid import kid
        from msdd.metrics.pixel import squared_error, ssim

        spent: dict[str, float] = {}
        with clocked(spent, "loading networks"):
            fresh = Accumulator(protocols, Networks(protocols.values(), cpu))
        with clocked(spent, "reading"):
            both = read(place, count)
        with clocked(spent, "squared errors"):
            squared_error(*both)
        with clocked(spent, "ssim"):
            ssim(*both)
        for net, network in fresh.networks.lpips.items():
            with clocked(spent, f"lpips_{net}"):
                network.distances([tuple(both)])
        with clocked(spent, "features"):
            rows = [fresh.measurer.features_of(wanted, images)[0] for images in both]
        sums = [Sums(2048, True, cpu) for _ in rows]
        with clocked(spent, "sums"):
            for side, some in zip(sums, rows, strict=True):
                side.update([str(k) for k in range(count)], some)
        kept.clear()
        with clocked(spent, "distance"):
            frechet_distance(*(side.moments for side in sums))
        with clocked(spent, "kid"):
            kid(*(side.sample.features for side in sums))
        return spent

    @cache  # LPIPS is timed without reading
    def pair(count: int) -> list[torch.Tensor]:
        return read(place, count)

    lpips = {net: Lpips(net, cpu) for net in ("alex", "vgg")}
    return {
        "lpips_alex": lambda count: lpips["alex"].distances([tuple(pair(count))])[0].mean().item(),
        "lpips_vgg": lambda count: lpips["vgg"].distances([tuple(pair(count))])[0].mean().item(),
        "features": features,
        "distance": distance,
        "primary": primary,
        "parts": parts,
    }


def ways_of_packages(place: Path) -> Ways:
    """Image by image with scikit-image and lpips, batches of pytorch_fid's own size."""
    import numpy as np
    from PIL import Image
    from random_inception import random_inception
    from straightforward import (
        frechet,
        lpips_of_each,
        official_features,
        official_inception,
        psnr_of_each,
        ssim_of_each,
    )

    from msdd.weights.pretrained_networks import lpips_network

    os.environ |= {"MSDD_WEIGHTS": str(place / "weights")}
    inception = official_inception(random_inception())
    networks = {net: lpips_network(net) for net in ("alex", "vgg")}

    @cache  # LPIPS is timed without reading
    def pair(count: int) -> list[np.ndarray]:
        return [np.stack([np.asarray(Image.open(p)) for p in x]) for x in paths(place, count)]

    def lpips(net: str, count: int) -> float:
        return statistics.mean(lpips_of_each(networks[net], *pair(count)))

    def features(count: int) -> list[np.ndarray]:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            return [official_features(inception, side) for side in paths(place, count)]

    def primary(count: int) -> float:
        psnr_of_each(*pair(count)), ssim_of_each(*pair(count)), lpips("alex", count)
        frechet(*features(count))
        return lpips("vgg", count)

    return {
        "lpips_alex": lambda count: lpips("alex", count),
        "lpips_vgg": lambda count: lpips("vgg", count),
        "features": lambda count: features(count)[1].mean().item(),
        "distance": lambda count: frechet(*(x.numpy() for x in random_features(count))),
        "primary": primary,
    }


def ways_of_fidelity(place: Path) -> Ways:
    """torch-fidelity's network in batches of 4, and its distance."""
    from msdd.weights.optional_imports import import_torchvision

    import_torchvision()  # before torch-fidelity imports it: its wheel may lack operators
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=inception_file(place)
    )

    @torch.inference_mode()
    def features(count: int) -> float:
        for images in read(place, count):
            made = torch.cat([network(part)[0] for part in images.split(4)])
        return made.mean().item()

    def distance(count: int) -> float:
        sides = [fid_features_to_statistics(side) for side in random_features(count)]
        return fid_statistics_to_metric(*sides, verbose=False)["frechet_inception_distance"]

    return {"features": features, "distance": distance}


def ways_of_torchmetrics(place: Path) -> Ways:
    """Its LPIPS, and its FID, which sums up in `update`; the trunks' weights are those of lpips."""
    from msdd.weights.optional_imports import import_torchvision
    from msdd.weights.pretrained_networks import lpips_network

    import_torchvision()
    from torchmetrics.functional.image.lpips import _LPIPS
    from torchmetrics.image.fid import FrechetInceptionDistance

    os.environ |= {"MSDD_WEIGHTS": str(place / "weights")}
    networks = {}
    for net in ("alex", "vgg"):
        networks[net] = _LPIPS(net=net, pnet_rand=True).eval()  # else it downloads the trunk
        networks[net].net.load_state_dict(lpips_network(net).net.state_dict())
    inception = FrechetInceptionDistance(feature_extractor_weights_path=inception_file(place))
    alone = torch.nn.Identity()
    alone.num_features = 2048

    @cache  # LPIPS is timed without reading
    def pair(count: int) -> list[torch.Tensor]:
        return [images.float() / 127.5 - 1 for images in read(place, count)]

    @torch.inference_mode()
    def lpips(net: str, count: int) -> float:
        parts = zip(*(side.split(4) for side in pair(count)), strict=True)
        return torch.cat([networks[net](*part).flatten() for part in parts]).mean().item()

    @torch.inference_mode()
    def features(count: int) -> float:
        inception.reset()
        for real, images in zip((True, False), read(place, count), strict=True):
            for part in images.split(4):
                inception.update(part, real=real)
        return (inception.fake_features_sum / count).mean().item()

    def distance(count: int) -> float:
        metric = FrechetInceptionDistance(feature=alone)
        for real, side in zip((True, False), random_features(count), strict=True):
            metric.update(side, real=real)
        return metric.compute().item()

    return {
        "lpips_alex": lambda count: lpips("alex", count),
        "lpips_vgg": lambda count: lpips("vgg", count),
        "features": features,
        "distance": distance,
    }


def inception_file(place: Path) -> str:
    return str(next((place / "weights").glob("pt_inception*")))


def read(place: Path, count: int) -> list[torch.Tensor]:
    """Both sides as uint8 (B, 3, SIDE, SIDE)."""
    from msdd.data.image_folder import stack
    from msdd.data.photographs import read_photograph

    with ThreadPoolExecutor(8) as pool:  # as many as an evaluation has
        return [stack(pool.map(read_photograph, side)) for side in paths(place, count)]


@contextlib.contextmanager
def clocked(spent: dict[str, float], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    spent[name] = time.perf_counter() - began


def random_features(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = (torch.rand(count, 2048, generator=generator) for _ in range(2))
    return [side.double() for side in sides]


WAYS = {
    "msdd": ways_of_msdd,
    "packages": ways_of_packages,
    "fidelity": ways_of_fidelity,
    "torchmetrics": ways_of_torchmetrics,
}
NEEDED = {
    "packages": ("lpips", "pytorch_fid", "skimage"),
    "fidelity": ("torch_fidelity",),
    "torchmetrics": ("torchmetrics", "torch_fidelity"),
}
