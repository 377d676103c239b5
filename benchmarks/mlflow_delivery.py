"""How long MLflow takes for many runs: `python benchmarks/mlflow_delivery.py [--runs 300]`.

Fills an outbox with finished trainings, 100 points of a curve each, and delivers it into a new
database: processor seconds, which another program on the machine changes little. `--against FOLDER`
delivers the same by the code of another checkout, too, and gives the ratio.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
DELIVERY = """if True:
    import sys, time
    from msdd.tracking import run as tracking
    from msdd.tracking.delivery import deliver
    tracking.flush = lambda *_, **__: None
    root, count = sys.argv[1], int(sys.argv[2])
    for row in range(count):
        params = {"seed": row, "stage1": {f"setting{k}": k for k in range(60)}}
        with tracking.Run(root, f"row{row % 100}", "stage1", params, tags={"part": ""}) as run:
            for step in range(100):
                run.log(step * 64, {"loss": 1 / (1 + step), "scale0": 1.0})
    import mlflow
    begun = time.process_time()
    print(deliver(root), file=sys.stderr)
    print(time.process_time() - begun)"""


def seconds(checkout: Path, runs: int) -> float:
    """Processor seconds of a delivery by the code of a checkout."""
    with tempfile.TemporaryDirectory() as root:
        environment = os.environ | {"PYTHONPATH": str(checkout), "MSDD_TRACKING": "on"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        command = [sys.executable, "-c", DELIVERY, root, str(runs)]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, check=True, cwd=root
        )
        return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    own = seconds(HERE, args.runs)
    print(f"{args.runs} runs: {own:.1f} s, {1000 * own / args.runs:.0f} ms a run")
    if args.against:
        other = seconds(args.against.absolute(), args.runs)
        print(f"{args.against}: {other:.1f} s, {other / own:.2f} times as long")


if __name__ == "__main__":
    main()
