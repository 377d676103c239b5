"""Snakemake and DVC asked in this process, in one language: jobs by DVC's names."""

import os
import re
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from msdd.pipeline import layout

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Job:
    """What an engine knows of a job; `params` are dotted keys."""

    command: str
    inputs: frozenset[str]
    outputs: frozenset[str]
    params: frozenset[str]


@contextmanager
def kept_environment():
    """The Snakefile sets variables for its jobs, here in the process of the tests."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def snakemake_dag(folder, executor="dryrun", everything=False):
    """The graph of jobs after a dry run (or `touch`) of the pipeline in `folder`."""
    output = OutputSettings(quiet={Quietness.ALL})
    with kept_environment(), chdir(folder), SnakemakeApi(output) as api:
        workflow = api.workflow(
            ResourceSettings(cores=1), snakefile=ROOT / "Snakefile", workdir=Path(folder)
        )
        workflow.dag(DAGSettings(forceall=everything)).execute_workflow(executor)
        yield workflow._workflow.dag


def snakemake_jobs(folder):
    with snakemake_dag(folder, everything=True) as dag:
        return {name(job): snakemake_job(job) for job in dag.jobs if job.rule.name != "all"}


def snakemake_stale(folder):
    """The jobs that would run."""
    with snakemake_dag(folder) as dag:
        return {name(job) for job in dag.needrun_jobs(exclude_finished=False)} - {"all"}


def touch(folder):
    """`snakemake --touch -F`: what is there is up to date."""
    with snakemake_dag(folder, "touch", everything=True):
        pass


def name(job):
    """A job of Snakemake by DVC's name of it."""
    row = {
        "scatter": "part{part}",
        "latents": "{encoder}",
        "train": "{model}",
        "distil": "{student}-scale{k}",
        "assemble": "{student}",
        "chain": "{student}",
        "evaluate": "{decode}",
        "elsewhere": "{decode}",
        "baseline": "{baseline}",
    }.get(job.rule.name)
    return f"{job.rule.name}@{row.format(**job.wildcards_dict)}" if row else job.rule.name


def snakemake_job(job):
    keys = {param.split(":")[0] for param in job.params}
    return Job(
        re.sub(r"^MSDD_GPUS=\d+ ", "", job.shellcmd.partition(" 2>&1 ")[0]),
        frozenset(relative(path) for path in job.input),
        frozenset(map(str, job.output)),
        frozenset(
            key
            for key in keys - {"photographs", "weights", "encoder"}
            if not key.startswith("code of ")
        ),
    )


def relative(path):
    """To files of the project itself, Snakemake has the way from a folder elsewhere."""
    outside = str(path).startswith(("..", str(ROOT)))
    return os.path.relpath(path, ROOT) if outside else os.path.normpath(path)


def dvc_jobs(folder):
    with chdir(folder), Repo() as repo:
        return {stage.name: dvc_job(stage) for stage in repo.index.stages}


def dvc_job(stage):
    params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
    files = [dep for dep in stage.deps if dep not in params]
    return Job(
        stage.cmd,
        frozenset(dep.def_path for dep in files),
        frozenset(out.def_path for out in stage.outs),
        frozenset(key for dep in params for key in dep.params),
    )


def dvc_changed(folder):
    """The stages of `dvc status`, less `code` if it would only look for photographs."""
    with chdir(folder), Repo() as repo:
        status = {key.rpartition(":")[2]: why for key, why in repo.status().items()}
    return {stage for stage, why in status.items() if why != ["always changed"]}


def dvc_stale(folder):
    """The stages that changed, less `code`, and all that follow from them."""
    changed = dvc_changed(folder) - {"code"}
    graph = dvc_graph(folder, (folder / layout.rows()).read_text())
    return changed.union(*(networkx.ancestors(graph, stage) for stage in changed))


@cache
def dvc_graph(folder, rows):
    """The graph of stages by name. Other params with the same `rows` do not change it."""
    with chdir(folder), Repo() as repo:
        return networkx.relabel_nodes(repo.index.graph, lambda stage: stage.name)


def commit(folder):
    """`dvc commit -f`: what is there is up to date."""
    with chdir(folder), Repo() as repo:
        repo.commit(force=True)


def push(folder):
    with chdir(folder), Repo() as repo:
        repo.push()


def pull(folder):
    with chdir(folder), Repo() as repo:
        repo.pull()
