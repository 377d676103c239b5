"""The tiny preset run by each engine, once for all tests that need the real thing."""

from concurrent.futures import ThreadPoolExecutor

import checkouts
import pytest
from checkouts import RAW, commit, end, git, project, run, start

from msdd.pipeline import layout

OFTEN = {"checkpoint_every": 32}  # after every step, so that there is a middle to kill in
PARAMS = RAW | {name: RAW[name] | OFTEN for name in ("stage1", "distil")}
PARAMS["throughput"] = RAW["throughput"] | {"batches": [1], "repeats": 1}
SNAKEMAKE = ("snakemake", "--cores", "2")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """By engine: the folder, and what was told after a stage had been killed under it.

    Both run at once. DVC ran in a fresh clone; its lock file is committed there.
    """
    parent = tmp_path_factory.mktemp("runs")
    with ThreadPoolExecutor() as pool:
        started = {engine: pool.submit(run, parent) for engine, run in BY.items()}
    return {engine: done.result() for engine, done in started.items()}


def by_snakemake(parent):
    """Begun with an outdated rows file, which every stage would refuse; all is killed together, and
    later the engine alone."""
    folder = project(parent / "snakemake", PARAMS)
    (folder / layout.rows()).write_text("outdated")
    kills = {"runs/msdd/stage1": checkouts.cut_power, "runs/msdd/finetuned": checkouts.kill_engine}
    return folder, run_through_kills(folder, SNAKEMAKE, kills)


def by_dvc(parent):
    origin, folder = project(parent / "origin", PARAMS), parent / "dvc"
    commit(origin)
    git(parent, "clone", "--quiet", origin, folder)
    kills = {"runs/msdd/msdd-1step/scale0": checkouts.kill}
    told = run_through_kills(folder, ("dvc", "repro"), kills)
    commit(folder)
    return folder, told


def run_through_kills(folder, command, kills):
    """The command again and again, each time killed at the training of an artefact, and then
    undisturbed; all that was told."""
    told = ""
    for artefact, kill in kills.items():
        started = start(folder, *command)
        kill(started, artefact)
        told += end(started, succeeds=False)
    return told + run(folder, *command)


BY = {"snakemake": by_snakemake, "dvc": by_dvc}
