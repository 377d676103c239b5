"""What the pipeline itself costs before any job: seconds of planning with N students and N decodes.

    python benchmarks/dag_cost.py [CHECKOUT ...] [--rows 10 100 1000] [--rounds 3]

Each CHECKOUT, by default this one, has the preset `tiny` with more rows, in a copy in a temporary
folder. Checkouts take turns, and the least of the rounds is printed. Seconds are of the processor,
which other programs disturb less than the clock. "start of a job" is the time to read and check
params and rows, and to resolve the job.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import yaml

HERE = Path(__file__).resolve().parents[1]
PARTS = ("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/plots", "Makefile", "Snakefile", "msdd")
PARTS += ("presets", "profiles", "reports/published.yaml", "reports/systems", "workflow")
START = """
import argparse
from pathlib import Path
from msdd.commands.stages import params_of
from msdd.pipeline.task import resolve
params = params_of(argparse.Namespace(params=Path("params.yaml")))
resolve(params, "evaluate", decode="student")
"""
COMMANDS = {
    "params expand": [sys.executable, "-m", "msdd", "params", "expand"],
    "start of a job": [sys.executable, "-c", START],
    "snakemake -n": [sys.executable, "-m", "snakemake", "-n", "--quiet", "all"],
    "dvc status": [sys.executable, "-m", "dvc", "status", "--json"],
}


def params(checkout: Path, rows: int) -> dict:
    """The checkout's preset `tiny` with `rows` students in all, and as many decodes."""
    raw = yaml.safe_load((checkout / "presets/tiny.yaml").read_text(encoding="utf-8"))
    for i in range(rows - len(raw["students"])):
        raw["students"][f"student-{i}"] = {"model": "msdd"}
    for i in range(rows - len(raw["decodes"])):
        raw["decodes"][f"decode-{i}"] = {"of": f"student-{i}"}
    return raw


def copy(checkout: Path, folder: Path, rows: int) -> Path:
    """What the pipeline needs of a checkout, with many rows in its params."""
    for part in filter(lambda part: (checkout / part).exists(), PARTS):
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        plain = shutil.copytree if (checkout / part).is_dir() else shutil.copy
        plain(checkout / part, target)
    (folder / "params.yaml").write_text(yaml.safe_dump(params(checkout, rows), sort_keys=False))
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    (folder / "workflow/rows.yaml").unlink()
    return folder


def seconds(command: list[str], folder: Path) -> float:
    """Processor seconds of a command in a copy, with its own package; a failure ends all."""
    environment = os.environ | {"PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}
    before = getrusage(RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[HERE])
    parser.add_argument("--rows", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(f"{'rows':>5}  {'command':15}", *(f"{path.name:>10}" for path in args.checkouts))
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as temporary:
            copies = [
                copy(path, Path(temporary) / f"{i}", rows) for i, path in enumerate(args.checkouts)
            ]
            for name, command in COMMANDS.items():
                rounds = [[seconds(command, one) for one in copies] for _ in range(args.rounds)]
                least = [min(times) for times in zip(*rounds, strict=True)]
                print(f"{rows:5}  {name:15}", *(f"{one:10.2f}" for one in least), flush=True)


if __name__ == "__main__":
    main()
