"""The straightforward way to measure reconstructions: image by image, with everybody's packages.

It is the reference of the fast way. As a script it times both on the same crops of photographs,
in turns, in one process:

    python benchmarks/straightforward.py FOLDER --side 64 --images 2000

and the Fréchet distance on Inception, whose speed does not depend on its weights:

    python benchmarks/straightforward.py FOLDER --side 256 --images 300 --inception
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from random_inception import random_inception
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from msdd.data.image_folder import at_least_two, stack
from msdd.data.photographs import read_photograph
from msdd.data.pixels import from_uint8
from msdd.evaluate.measurer import FEATURE_BATCH
from msdd.evaluate.sources import split
from msdd.metrics.frechet import Moments, frechet_distance
from msdd.metrics.perceptual import Lpips
from msdd.metrics.pixel import psnr, ssim
from msdd.weights.fast_inception import faster_inception
from msdd.weights.features import Inception
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.pretrained_networks import feature_network, freeze, lpips_network


def psnr_of_each(originals: np.ndarray, made: np.ndarray) -> list[float]:
    """Of images (N, H, W, 3) as uint8."""
    pairs = zip(originals, made, strict=True)
    return [peak_signal_noise_ratio(a, b, data_range=255) for a, b in pairs]


def ssim_of_each(originals: np.ndarray, made: np.ndarray, data_range: float = 1) -> list[float]:
    how = {"channel_axis": -1, "data_range": data_range}
    pairs = zip(originals / 255.0, made / 255.0, strict=True)
    return [structural_similarity(a, b, **how) for a, b in pairs]


@torch.no_grad()
def lpips_of_each(network: torch.nn.Module, originals: np.ndarray, made: np.ndarray) -> list[float]:
    pairs = zip(originals, made, strict=True)
    return [network(tensor(a), tensor(b)).item() for a, b in pairs]


def tensor(image: np.ndarray) -> torch.Tensor:
    """uint8 (H, W, 3) to (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1


def frechet(real: np.ndarray, made: np.ndarray) -> float:
    """Of features (N, D), by the formula of pytorch_fid."""
    moments = [f(x) for x in (real, made) for f in (mean, covariance)]
    return frechet_of_moments(*moments)


def frechet_of_moments(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """Of means (D,) and covariances (D, D), as pytorch_fid 0.3.0 computes it.

    Restated, because that calls `scipy.linalg.sqrtm(disp=False)`, whose argument `disp` scipy 1.18
    has removed.
    """
    from scipy.linalg import sqrtm

    root = sqrtm(covariance_a @ covariance_b)
    trace = np.trace(covariance_a) + np.trace(covariance_b) - 2 * np.trace(root).real
    return float(((mean_a - mean_b) ** 2).sum() + trace)


def mean(features: np.ndarray) -> np.ndarray:
    return features.mean(0)


def covariance(features: np.ndarray) -> np.ndarray:
    return np.cov(features, rowvar=False)


def crops(folder: Path, side: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random crops of a folder's images, and each reduced fourfold and enlarged again, uint8."""
    paths = at_least_two(folder, "the folder")
    photographs = [read_photograph(paths[name]) for name in sorted(paths)]
    photographs = [pixels for pixels in photographs if min(pixels.shape[:2]) >= side]
    random = np.random.default_rng(0)
    found = []
    for k in range(count):
        pixels = photographs[k % len(photographs)]
        y, x = (int(random.integers(n - side + 1)) for n in pixels.shape[:2])
        found.append(pixels[y : y + side, x : x + side])
    return np.stack(found), np.stack([blurred(image, side) for image in found])


def blurred(image: np.ndarray, side: int) -> np.ndarray:
    small = Image.fromarray(image).resize((side // 4, side // 4), Image.Resampling.BICUBIC)
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def ways(net: str) -> dict[str, tuple[Callable, Callable]]:
    """By metric: the straightforward way, of uint8 arrays (N, H, W, 3), and the fast one, of uint8
    tensors (B, 3, H, W)."""
    network, fast = lpips_network(net), Lpips(net, torch.device("cpu"))
    return {
        "psnr": (psnr_of_each, psnr),
        "ssim": (ssim_of_each, ssim),
        f"lpips_{net}": (
            lambda a, b: lpips_of_each(network, a, b),
            lambda a, b: fast.distances([(a, b)])[0],
        ),
    }


def compare(originals: np.ndarray, made: np.ndarray, net: str, batch: int) -> None:
    """Print milliseconds an image of both ways, and how far their numbers are apart.

    Both ways take every batch in turn. `arrays` is the way from arrays to tensors, which all
    metrics of the fast way share.
    """
    metrics = ways(net)
    seconds = {name: [] for name in ("arrays", *metrics)}  # by batch, of both ways, an image
    apart = dict.fromkeys(metrics, 0.0)
    for part in split(len(made), batch):
        arrays = originals[part.start : part.stop], made[part.start : part.stop]
        tensors, taken = timed(lambda *both: [stack(images) for images in both], *arrays)
        seconds["arrays"].append((0.0, taken / len(part)))
        for name, (slow, fast) in metrics.items():
            (a, slow_seconds), (b, fast_seconds) = timed(slow, *arrays), timed(fast, *tensors)
            seconds[name].append((slow_seconds / len(part), fast_seconds / len(part)))
            apart[name] = max(apart[name], largest_difference(np.asarray(a), np.asarray(b)))
    show({name: np.array(times) for name, times in seconds.items()}, apart, made)


def largest_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Infinite PSNR is equal to itself."""
    return float(np.abs(a[a != b] - b[a != b]).max(initial=0))


def timed(way: Callable, *images) -> tuple:
    began = time.perf_counter()
    values = way(*images)
    return values, time.perf_counter() - began


def show(seconds: dict[str, np.ndarray], apart: dict[str, float], made: np.ndarray) -> None:
    """Medians over batches: on a shared machine sums belong to the few that were disturbed."""
    seconds = seconds | {"all": np.sum(list(seconds.values()), 0)}
    print(f"{len(made)} images of {made.shape[1]} px, {torch.get_num_threads()} threads")
    print("medians of batches; sums in brackets")
    print("metric      straightforward ms       fast ms           ratio   largest difference")
    for name, times in seconds.items():
        (slow, fast), (slow_sum, fast_sum) = np.median(times, 0), times.mean(0)
        both = f"{1e3 * slow:8.3f} ({1e3 * slow_sum:.3f}) {1e3 * fast:8.3f} ({1e3 * fast_sum:.3f})"
        ratios = f"{slow / fast:6.1f} ({slow_sum / fast_sum:.1f})"
        print(f"{name:11} {both} {ratios}   {apart.get(name, 0):.1e}")
    networks = [times[:, 1].sum() for name, times in seconds.items() if name.startswith("lpips")]
    print(f"inside the networks, of the fast way: {sum(networks) / seconds['all'][:, 1].sum():.0%}")


def compare_distances(originals: np.ndarray, made: np.ndarray, name: str, batch: int) -> None:
    """The Fréchet distance of both ways, from the same features."""
    network, sides, moments = feature_network(name), [], []
    began = time.perf_counter()
    with torch.inference_mode():
        for images in (originals, made):
            parts = [stack(images[p.start : p.stop]) for p in split(len(images), batch)]
            sides.append([network(part.float() / 127.5 - 1) for part in parts])
    print(f"features of {name}: {1e3 * (time.perf_counter() - began) / len(made):.1f} ms an image")
    began = time.perf_counter()
    for side in sides:
        moments.append(Moments(side[0].shape[1]))
        for features in side:
            moments[-1].update(features)
    fast, fast_seconds = frechet_distance(*moments), time.perf_counter() - began
    began = time.perf_counter()
    slow = frechet(*(torch.cat(side).double().numpy() for side in sides))
    slow_seconds = time.perf_counter() - began
    print(f"distance: {slow:.6f} in {slow_seconds:.2f} s, {fast:.6f} in {fast_seconds:.2f} s")


def official_inception(state: dict[str, torch.Tensor]) -> torch.nn.Module:
    """As pytorch_fid's own command makes it, which can only download its weights."""
    import_torchvision()
    from pytorch_fid import inception

    with mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: state):
        return inception.InceptionV3().eval().requires_grad_(False)


def official_features(network: torch.nn.Module, paths: list[Path]) -> np.ndarray:
    from pytorch_fid.fid_score import get_activations

    return get_activations(list(map(str, paths)), network, device="cpu", num_workers=0)


@torch.inference_mode()
def fast_features(network: torch.nn.Module, paths: list[Path]) -> torch.Tensor:
    images = from_uint8(stack([read_photograph(path) for path in paths]))
    return torch.cat([network(part) for part in images.split(FEATURE_BATCH)])


def fast_distance(sides: list[list[torch.Tensor]]) -> float:
    moments = [Moments(side[0].shape[1]) for side in sides]
    for sums, side in zip(moments, sides, strict=True):
        for features in side:
            sums.update(features)
    return frechet_distance(*moments)


def compare_inception(originals: np.ndarray, made: np.ndarray, batch: int) -> None:
    """The Fréchet distance of both ways, from PNG files to the number, on random weights.

    pytorch_fid's functions for features and distance; both ways take every batch in turn.
    """
    state = random_inception()
    fast = faster_inception(freeze(Inception(state), "cpu"), torch.device("cpu"))
    networks = official_inception(state), fast
    ways, seconds, sides = (official_features, fast_features), [[], []], [[[], []], [[], []]]
    with tempfile.TemporaryDirectory() as folder:
        for k, images in enumerate((originals, made)):
            paths = written(images, Path(folder, str(k)))
            for part in split(len(paths), batch):
                for way in range(2):
                    some = paths[part.start : part.stop]
                    found, taken = timed(ways[way], networks[way], some)
                    seconds[way].append(taken)
                    sides[way][k].append(found)
    slow = timed(lambda: frechet(*map(np.concatenate, sides[0])))
    fast = timed(lambda: fast_distance(sides[1]))
    show_inception(np.array(seconds), slow, fast, len(made))


def written(images: np.ndarray, folder: Path) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{k:06}.png" for k in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def show_inception(seconds: np.ndarray, slow: tuple, fast: tuple, count: int) -> None:
    """Of both sides; `seconds` (2, batches) are those of the features."""
    features = seconds.sum(1)
    whole = features + [slow[1], fast[1]]
    print("Fréchet distance   straightforward       fast    ratio")
    per_image = 1e3 * features / count
    print(f"features, ms/pair  {per_image[0]:15.1f} {per_image[1]:10.1f} {ratio(features)}")
    print(f"distance, s        {slow[1]:15.2f} {fast[1]:10.2f} {ratio((slow[1], fast[1]))}")
    print(f"all, s             {whole[0]:15.2f} {whole[1]:10.2f} {ratio(whole)}")
    print(f"value              {slow[0]:15.6f} {fast[0]:10.6f}")


def ratio(pair) -> str:
    return f"{pair[0] / pair[1]:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=250, help="images a turn")
    parser.add_argument("--net", default="alex", help="alex or vgg")
    parser.add_argument("--inception", action="store_true", help="also that on Inception's")
    parser.add_argument("--features", help="also the Fréchet distance on this network's features")
    args = parser.parse_args()
    originals, made = crops(args.folder, args.side, args.images)
    compare(originals, made, args.net, args.batch)
    if args.features:
        compare_distances(originals, made, args.features, args.batch)
    if args.inception:
        compare_inception(originals, made, args.batch)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
