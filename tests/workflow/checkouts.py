"""Checkouts of the project in folders of their own, and the commands that a user types there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pandas
import psutil
import yaml

from msdd.files import digest
from msdd.params.load import parse
from msdd.params.plain_yaml import read_yaml
from msdd.pipeline import jobs, layout

ROOT = Path(__file__).parents[2]
RAW = read_yaml(ROOT / "presets/tiny.yaml")
PARTS = ("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots", ".gitignore")
PARTS += ("Makefile", "Snakefile", "msdd", "presets", "profiles", "reports/published.yaml")
PARTS += ("reports/systems", "workflow/report", "workflow/rules")

ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "MSDD_TRACKING": "off",
    "DVC_NO_ANALYTICS": "1",
}


def project(folder, raw=RAW):
    """A checkout in `folder`, as far as the pipeline needs it, with `raw` as params.

    With Python's compiled files, which cost the first jobs seconds.
    """
    for name in PARTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    use(folder, raw)
    return folder


def use(folder, raw):
    """`raw` as params, and what `msdd params expand` makes of them."""
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    jobs.expand(parse(raw), folder)


@contextmanager
def edited(path, old, new):
    """The first `old` in a file replaced by `new`, for the block."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(text)


def git(folder, *arguments):
    who = ("-c", "user.name=msdd", "-c", "user.email=msdd@localhost")
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "As it is")


def clone(folder, to):
    """A fresh clone of what is committed in `folder`."""
    git(folder, "clone", "--quiet", folder, to)
    return to


def start(folder, *command, **environment):
    """A command at work in `folder`; its output goes together."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    process.folder = folder
    return process


def end(process, succeeds=True):
    """What a command has told; it must have succeeded, or failed."""
    told, _ = process.communicate()
    assert (process.returncode == 0) == succeeds, told[-3000:]
    return told


def run(folder, *command, succeeds=True, **environment):
    return end(start(folder, *command, **environment), succeeds)


def at_work(engine, artefact, since="lock"):
    """The process that makes an artefact below an engine, once it has `lock` or `checkpoint.pt`."""
    aside = engine.folder / layout.checkpoint(Path(artefact))
    while engine.poll() is None:
        time.sleep(0.002)
        try:
            os.stat(aside / since)
            return json.loads((aside / "lock").read_text())["pid"]
        except (FileNotFoundError, ValueError):  # not there yet, or not signed yet
            continue
    raise AssertionError(engine.communicate()[0])


def kill(engine, artefact):
    """Kill the training of an artefact after its first checkpoint."""
    os.kill(at_work(engine, artefact, since="checkpoint.pt"), signal.SIGKILL)


def kill_engine(engine, artefact):
    """Kill an engine alone after an artefact's first checkpoint; its jobs live on."""
    at_work(engine, artefact, since="checkpoint.pt")
    engine.kill()


def cut_power(engine, artefact):
    """Kill an engine and all it has started, after an artefact's first checkpoint."""
    at_work(engine, artefact, since="checkpoint.pt")
    parent = psutil.Process(engine.pid)
    parent.suspend()  # or it would start something between the list and the end
    for process in [*parent.children(recursive=True), parent]:
        process.kill()


def listing(folder):
    """Everything in a folder with its time and size, except what `.snakemake` holds."""
    paths = (path.relative_to(folder) for path in folder.rglob("*"))
    paths = (path for path in paths if path.parts[0] != ".snakemake")
    status = {path: (folder / path).stat() for path in paths}
    return {path: (one.st_mtime_ns, one.st_size) for path, one in status.items()}


TIMED = ("*.timing.json", "throughput.*", "quality_speed.*", "numbers.tex", "report.html")
TIMED += tuple(f"table[12].{kind}" for kind in layout.TABLE_KINDS if kind != "csv")
SPEEDS = ("images_per_second", "speed_ratio", "at_batch", "paper_region")


def results(folder):
    """Weights, curves, metrics, reconstructions and reports: everything without a clock in it."""
    files = [path for name in ("runs", "reports", "data") for path in (folder / name).rglob("*")]
    files = [path for path in files if path.is_file() and path.name[0] != "."]
    return {
        str(path.relative_to(folder)): content(path)
        for path in files
        if not any(path.match(pattern) for pattern in TIMED)
    }


def content(path):
    """The digest of a file; of a table without its columns of speed."""
    if path.suffix != ".csv":
        return digest(path)
    table = pandas.read_csv(path, dtype=str)
    return table.drop(columns=[name for name in SPEEDS if name in table]).to_csv()
