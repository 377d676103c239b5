"""What an evaluation costs: this checkout, an earlier commit, and the packages that people call.

    python benchmarks/evaluation_speed.py FOLDER

FOLDER holds photographs of at least 256 px a side. Crops of them, and the same reduced fourfold and
enlarged, are written as PNG files, and every way reads those. Each way is a process of its own that
computes only when it is its turn; the ways take turns in every round, on all processors that this
process may use. Inception's weights are random, in pytorch_fid's file: speed does not depend on
them. Six minutes on two quiet cores of an AMD EPYC. Prints a table, and writes all samples to
reports/measured/evaluation/speed.json.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
REVISION = "c9c3b66"  # before convolutions multiplied less
SIDE = 256
TASKS = {"lpips_alex": 16, "lpips_vgg": 8, "features": 16, "distance": 100, "primary": 32}  # pairs
ROUNDS = {"distance": 1, "primary": 2}  # of the others 3
FLOP = {
    "lpips_alex": 3.48e9,
    "lpips_vgg": 80.3e9,
    "features": 22.8e9,
}  # a pair, multiplied directly


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


def paths(place: Path, count: int) -> list[list[Path]]:
    return [sorted((place / name).iterdir())[:count] for name in ("real", "made")]


def ways_of_msdd(place: Path) -> dict[str, Callable[[int], float]]:
    """Of the checkout that is imported; each takes a number of pairs and gives its figure."""
    from dataclasses import replace

    import msdd
    from msdd import files
    from msdd.data.image_folder import stack
    from msdd.data.photographs import read_photograph
    from msdd.evaluate.accumulator import Accumulator
    from msdd.evaluate.networks import Networks
    from msdd.evaluate.protocols import load
    from msdd.metrics.frechet import Moments, frechet_distance
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

    def features(count: int) -> float:
        with torch.inference_mode():
            for side in paths(place, count):
                images = stack([read_photograph(path) for path in side])
                (made,) = accumulator.features_of(wanted, images)
        return made.mean().item()

    def distance(count: int) -> float:
        sums = [Moments(2048), Moments(2048)]
        for side, features in zip(sums, random_features(count), strict=True):
            side.update(features)
        return frechet_distance(*sums)

    def primary(count: int) -> float:
        some = [place / f"{name}-{count}" for name in ("real", "made")]
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache  # where statistics of the originals are kept
            report = msdd.evaluate(originals=some[0], reconstructions=some[1], device="cpu")
        return report["protocols"]["primary"]["metrics"]["lpips_vgg"]["mean"]

    @cache  # LPIPS is timed without reading
    def pair(count: int) -> list[torch.Tensor]:
        return [stack([read_photograph(path) for path in side]) for side in paths(place, count)]

    lpips = {net: Lpips(net, cpu) for net in ("alex", "vgg")}
    return {
        "lpips_alex": lambda count: lpips["alex"].distances([tuple(pair(count))])[0].mean().item(),
        "lpips_vgg": lambda count: lpips["vgg"].distances([tuple(pair(count))])[0].mean().item(),
        "features": features,
        "distance": distance,
        "primary": primary,
    }


def ways_of_packages(place: Path) -> dict[str, Callable[[int], float]]:
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

    from msdd.weights.pretrained import lpips_network

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


def ways_of_torch_packages(place: Path) -> dict[str, Callable[[int], float]]:
    """torch-fidelity's network, on which torchmetrics computes its FID, in batches of 4."""
    from msdd.data.image_folder import stack
    from msdd.data.photographs import read_photograph
    from msdd.weights.optional_imports import import_torchvision

    import_torchvision()  # before torch-fidelity imports it: its wheel may lack operators
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    weights = next((place / "weights").glob("pt_inception*"))
    network = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
    )

    @torch.inference_mode()
    def features(count: int) -> float:
        for side in paths(place, count):
            images = stack([read_photograph(path) for path in side])
            made = torch.cat([network(part)[0] for part in images.split(4)])
        return made.mean().item()

    return {"features": features}


def random_features(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = (torch.rand(count, 2048, generator=generator) for _ in range(2))
    return [side.double() for side in sides]


def ceiling() -> float:
    """FLOP/s of the faster of a product of matrices by torch and one by oneDNN."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    packed = torch.ops.mkldnn._reorder_linear_weight(b, 2048)
    by_onednn = torch.ops.mkldnn._linear_pointwise
    ways = (lambda: a @ b, lambda: by_onednn(a, packed, None, "none", [], ""))
    return max(2 * 2048**3 / timed(way)["wall"] for way in ways for _ in range(4))


WAYS = {"msdd": ways_of_msdd, "packages": ways_of_packages, "torch": ways_of_torch_packages}


def timed(way: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = way()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return seconds | ({"value": value} if isinstance(value, float) else {})


def serve(kind: str, place: Path) -> None:
    """Compute what each line of the input names; one line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ways = WAYS[kind](place)
    print(json.dumps(list(ways)), file=answers, flush=True)
    for line in sys.stdin:
        task, count = line.split()
        taken = timed(lambda task=task, count=count: ways[task](int(count)))
        print(json.dumps(taken), file=answers, flush=True)


class Worker:
    """A way in a process of its own, of the package in `tree`."""

    def __init__(self, kind: str, tree: Path, place: Path) -> None:
        command = [sys.executable, HERE, "--serve", kind, place]
        environment = os.environ | {"PYTHONPATH": str(tree)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(list(map(str, command)), env=environment, **pipes)
        self.tasks = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker has ended; see its message above")
        return json.loads(line)

    def take(self, task: str, count: int) -> dict[str, float]:
        print(task, count, file=self.process.stdin, flush=True)
        return self.answer()


def measure(workers: dict[str, Worker], tasks: dict[str, int]) -> dict[str, dict[str, list]]:
    """Samples by task and way, and the ceiling around every round; first calls do not count."""
    samples = {task: {name: [] for name in workers} for task in tasks}
    samples["ceiling"] = {"product": []}
    for task, count in tasks.items():
        able = {name: worker for name, worker in workers.items() if task in worker.tasks}
        if task not in ROUNDS:
            for worker in able.values():
                worker.take(task, 1)
        for _ in range(ROUNDS.get(task, 3)):
            samples["ceiling"]["product"].append(ceiling())
            for name, worker in able.items():
                samples[task][name].append(worker.take(task, count))
    return samples


def show(samples: dict, tasks: dict[str, int]) -> None:
    best = max(samples["ceiling"]["product"])
    print(f"{len(os.sched_getaffinity(0))} processors; ceiling {best / 1e9:.0f} GFLOP/s, float32")
    print("ms a pair (distance: s); ratios round by round: least, median, most")
    for task, count in tasks.items():
        for name, taken in samples[task].items():
            if not taken:
                continue
            seconds = [one["wall"] for one in taken]
            unit = statistics.median(seconds) * (1 if task == "distance" else 1e3 / count)
            now = [one["wall"] for one in samples[task]["now"]]
            ratios = sorted(a / b for a, b in zip(seconds, now, strict=True))
            told = "/".join(f"{r:.2f}" for r in (ratios[0], statistics.median(ratios), ratios[-1]))
            rate = FLOP.get(task, 0) * count / statistics.median(seconds) / best
            share = f"{rate:5.0%} of the ceiling" if rate else ""
            print(f"{task:10} {name:8} {unit:9.2f}  {told:>16} of now  {share}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--before", default=REVISION, help="a commit of this repository")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=TASKS)
    parser.add_argument(
        "--json", type=Path, default=ROOT / "reports/measured/evaluation/speed.json"
    )
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        return serve(args.serve[0], Path(args.serve[1]))
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tasks = {task: TASKS[task] for task in args.tasks}
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as tree:
        git = ["git", "-C", str(ROOT)]
        archive = subprocess.run([*git, "archive", args.before], check=True, capture_output=True)
        subprocess.run(["tar", "x", "-C", tree], input=archive.stdout, check=True)
        prepare(args.folder, Path(place), max(TASKS["features"], TASKS["primary"]))
        link_first(Path(place), TASKS["primary"])
        workers = {
            "now": Worker("msdd", ROOT, Path(place)),
            "before": Worker("msdd", Path(tree), Path(place)),
            "packages": Worker("packages", ROOT, Path(place)),
            "fidelity": Worker("torch", ROOT, Path(place)),
        }
        samples = measure(workers, tasks)
        for worker in workers.values():
            worker.process.stdin.close()
            worker.process.wait()
    show(samples, tasks)
    about = {"before": args.before, "torch": torch.__version__, "pairs": tasks, "side": SIDE}
    args.json.write_text(json.dumps(about | {"samples": samples}, indent=1) + "\n")


def link_first(place: Path, count: int) -> None:
    """Folders of the first so many images."""
    for name, side in zip(("real", "made"), paths(place, count), strict=True):
        (place / f"{name}-{count}").mkdir()
        for path in side:
            (place / f"{name}-{count}" / path.name).symlink_to(path)


if __name__ == "__main__":
    main()
