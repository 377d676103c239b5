"""The tiny preset run by each engine, once for all tests that need the real thing."""

from concurrent.futures import ThreadPoolExecutor

import checkouts
import pytest
from checkouts import RAW, commit, end, git, project, run, start

from msdd.pipeline import layout

OFTEN = {"checkpoint_every": 32}  # after every step, so that there is a middle to kill in
PARAMS = RAW | {name: RAW[name] | OFTEN for name in ("stage1", "distil")}
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
    """Begun with an outdated rows file, which every stage would refuse; all is killed together."""
    folder = project(parent / "snakemake", PARAMS)
    (folder / layout.rows()).write_text("outdated")
    told = run_through_a_kill(folder, "runs/msdd/stage1", SNAKEMAKE, checkouts.cut_power)
    return folder, told


def by_dvc(parent):
    origin, folder = project(parent / "origin", PARAMS), parent / "dvc"
    commit(origin)
    git(parent, "clone", "--quiet", origin, folder)
    told = run_through_a_kill(folder, "runs/msdd/msdd-1step/scale0", ("dvc", "repro"))
    commit(folder)
    return folder, told


def run_through_a_kill(folder, artefact, command, kill=checkouts.kill):
    """The command, whose training of an artefact is killed, and then the same command again."""
    first = start(folder, *command)
    kill(first, artefact)
    end(first, succeeds=False)
    return run(folder, *command)


BY = {"snakemake": by_snakemake, "dvc": by_dvc}
