"""What an evaluation costs: this checkout, an earlier commit, and the packages that people call.

    python benchmarks/evaluation_speed.py FOLDER

FOLDER holds photographs of at least 256 px a side. Crops of them, and the same reduced fourfold and
enlarged, are written as PNG files, and every way reads those. Each way is a process of its own that
computes only when it is its turn; the ways take turns in every round, on all processors that this
process may use. Inception's weights are random, in pytorch_fid's file: speed does not depend on
them. Seven minutes on two quiet cores of an AMD EPYC. Prints a table, and writes all samples to
reports/measured/evaluation/speed.json. What is not installed is left out.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from evaluation_ways import NEEDED, SIDE, WAYS, link_first, prepare

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
REVISION = "c9c3b66"  # before convolutions multiplied less
TASKS = {"lpips_alex": 16, "lpips_vgg": 8, "features": 16, "distance": 100, "primary": 32}  # pairs
ROUNDS = {"distance": 1, "primary": 2}  # of the others 3
FLOP = {
    "lpips_alex": 3.48e9,
    "lpips_vgg": 80.3e9,
    "features": 22.8e9,
}  # a pair, multiplied directly


def ceiling() -> float:
    """FLOP/s of the faster of a product of matrices by torch and one by oneDNN."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    ways = [lambda: a @ b]
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):  # private to torch
        packed = torch.ops.mkldnn._reorder_linear_weight(b, 2048)
        by_onednn = torch.ops.mkldnn._linear_pointwise
        ways.append(lambda: by_onednn(a, packed, None, "none", [], ""))
    return max(2 * 2048**3 / timed(way)["wall"] for way in ways for _ in range(4))


def timed(way: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    value = way()
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return seconds | ({"value": value} if isinstance(value, float | dict) else {})


def peak() -> float:
    """Memory that this process has had at most, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


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
        print(json.dumps(taken | {"peak": peak()}), file=answers, flush=True)


class Worker:
    """A way in a process of its own, of the package in `tree`."""

    def __init__(self, kind: str, tree: Path, place: Path) -> None:
        command = [sys.executable, HERE, "--serve", kind, place]
        # Large pages for every way: msdd's commands ask torch for them.
        environment = os.environ | {"PYTHONPATH": str(tree), "THP_MEM_ALLOC_ENABLE": "1"}
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

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(workers: dict[str, Worker], tasks: dict[str, int]) -> dict[str, dict[str, list]]:
    """Samples by task and way, and the ceiling around every round; first calls do not count."""
    samples = {task: {name: [] for name in workers} for task in tasks}
    samples["ceiling"] = {"product": []}
    for task, count in tasks.items():
        able = {name: worker for name, worker in workers.items() if task in worker.tasks}
        if task not in ROUNDS:
            for worker in able.values():
                worker.take(task, count)  # as many as are timed, so that every thread is warm
        for _ in range(ROUNDS.get(task, 3)):
            samples["ceiling"]["product"].append(ceiling())
            for name, worker in able.items():
                samples[task][name].append(worker.take(task, count))
    if "primary" in tasks:
        now = workers["now"]
        samples["parts"] = {"now": [now.take("parts", tasks["primary"]) for _ in range(2)]}
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
            told = f"{told:>16} of now  {share(task, count, statistics.median(seconds), best)}"
            print(f"{task:10} {name:12} {unit:9.2f}  {told}")
    if "parts" in samples:
        show_parts(samples, tasks["primary"], best)


def share(task: str, count: int, seconds: float, best: float) -> str:
    """Of the ceiling, of what is products; more than all of it where fewer are taken."""
    rate = FLOP.get(task, 0) * count / seconds / best
    return f"{rate:5.0%} of the ceiling" if rate else ""


def show_parts(samples: dict, count: int, best: float) -> None:
    """The parts of `primary` one after the other, and what is left of the whole."""
    parts = min(samples["parts"]["now"], key=lambda one: one["wall"])["value"]
    whole = statistics.median(one["wall"] for one in samples["primary"]["now"])
    print(f"parts of primary, ms a pair of {count}, and of the whole")
    for part, seconds in (parts | {"the rest": whole - sum(parts.values())}).items():
        told = share(part, count, seconds, best)
        print(f"{part:16} {1e3 * seconds / count:9.2f}  {seconds / whole:5.1%}  {told}")


def installed(kinds: dict[str, tuple[str, Path]]) -> dict[str, tuple[str, Path]]:
    """Those whose packages are here; a line for each other."""
    here = {}
    for name, (kind, tree) in kinds.items():
        missing = [one for one in NEEDED.get(kind, ()) if find_spec(one) is None]
        if missing:
            print(f"{name} is not timed: pip install {' '.join(missing)}")
        else:
            here[name] = (kind, tree)
    return here


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
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as tree:
        place = Path(folder)
        git = ["git", "-C", str(ROOT)]
        archive = subprocess.run([*git, "archive", args.before], check=True, capture_output=True)
        subprocess.run(["tar", "x", "-C", tree], input=archive.stdout, check=True)
        prepare(args.folder, place, max(TASKS["features"], TASKS["primary"]))
        link_first(place, TASKS["primary"])
        before = {"before": ("msdd", Path(tree))}
        others = {kind: (kind, ROOT) for kind in NEEDED}
        kinds = installed({"now": ("msdd", ROOT)} | before | others)
        time_all(kinds, place, args)


def time_all(kinds: dict[str, tuple[str, Path]], place: Path, args: argparse.Namespace) -> None:
    tasks = {task: TASKS[task] for task in args.tasks}
    workers = {name: Worker(kind, tree, place) for name, (kind, tree) in kinds.items()}
    samples = measure(workers, tasks)
    for worker in workers.values():
        worker.end()
    about = {"before": args.before, "torch": torch.__version__, "pairs": tasks, "side": SIDE}
    args.json.write_text(json.dumps(about | {"samples": samples}, indent=1) + "\n")
    show(samples, tasks)


if __name__ == "__main__":
    main()
