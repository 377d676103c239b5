"""What reliability costs: the share of checkpoints, fsync, locks and logs in a training's time.

    python benchmarks/reliability_cost.py FOLDER [--images 6400]

Trains the first row of the default params in FOLDER, which holds a data/prepared of them, at the
intervals that stand there, and times every call. A shorter training than the default has the same
intervals and as many locks and records, so that the share is one from above.
"""

import argparse
import os
import time
from collections import Counter
from pathlib import Path

from msdd import files
from msdd.commands.stages import run_stage
from msdd.params.load import load, parse
from msdd.pipeline import engine, lock
from msdd.pipeline.progress import Progress
from msdd.tracking.run import Run
from msdd.train.state import State
from msdd.train.terms import RecentTerms

CALLS = {
    "checkpoints": [(State, "save")],
    "fsync": [(files, "sync")],
    "locks": [(lock, "_acquire"), (engine, "lost")],
    "logs": [
        (Run, "log"),
        (Run, "__enter__"),
        (Run, "__exit__"),
        (Run, "file"),
        (Progress, "update"),
    ],
    "losses that are no number": [(RecentTerms, "add"), (RecentTerms, "check")],
}
spent: Counter[str] = Counter()
times: Counter[str] = Counter()


def timed(name: str, call):
    def measured(*given, **named):
        began = time.perf_counter()
        try:
            return call(*given, **named)
        finally:
            spent[name] += time.perf_counter() - began
            times[name] += 1

    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=6400)
    args = parser.parse_args()
    raw = load(Path(__file__).parents[1] / "params.yaml").raw()
    raw["stage1"] |= {"images": args.images}
    params = parse(raw)
    os.environ["OMP_NUM_THREADS"] = str(params.cpu_threads)
    for name, calls in CALLS.items():
        for owner, attribute in calls:
            setattr(owner, attribute, timed(name, getattr(owner, attribute)))
    began = time.perf_counter()
    run_stage(params, "train", args.folder, model=next(iter(params.models)))
    whole = time.perf_counter() - began
    for name in CALLS:
        print(f"{name:28} {times[name]:6} calls {spent[name]:8.3f} s {spent[name] / whole:8.3%}")
    own = whole and sum(spent[name] for name in CALLS if name != "fsync") / whole
    print(f"together {own:.2%} of {whole:.1f} s; fsync is part of checkpoints and of results")


if __name__ == "__main__":
    main()
