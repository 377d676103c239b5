"""Trainings in several processes, and how their states are compared."""

import os
import shutil
from importlib import import_module

import torch
from forked import of_first
from interruption import Interruption, assert_same, content

from msdd.commands.stages import run_stage
from msdd.pipeline import layout
from msdd.train import run_job

# Seen: 2e-5 of a curve's values and 4e-6 of a weight. Noise of another seed changes curves by 1e-2.
CURVE, WEIGHT = {"rtol": 1e-4, "atol": 0}, {"rtol": 0, "atol": 3e-5}


def train(params, root, job, stop=None) -> None:
    """Train in this process, which leaves its state in a file; until `stop` passes were made.

    job: the name of the module whose `losses` are taken, the stage, and its wildcards.
    """
    name, stage, wildcards = job
    module = import_module(name)
    rank, losses, passes, states = os.environ["RANK"], module.losses, iter(range(10**9)), []

    def counted(*arguments):
        if next(passes) == stop:
            raise Interruption
        return losses(*arguments)

    class Kept(run_job.State):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            states.append(self)

    module.losses, run_job.State = counted, Kept
    try:
        run_stage(params, stage, root, **wildcards)
    except Interruption:
        return
    torch.save({**content(states[0]), "curve": states[0].curve}, root / f"rank{rank}.pt")


def trained_by(size, params, work, job, stop=None) -> list[dict]:
    """The states in which so many processes end, one for each; the first of `job` is a module."""
    job = (job[0].__name__, *job[1:])  # which another process can be told
    assert of_first(size, train, params, work, job, stop) is None
    return [torch.load(work / f"rank{rank}.pt") for rank in range(size)] if stop is None else []


def copies(work, count):
    """Without records, which would refuse a teacher that was trained for another length."""
    ignored = shutil.ignore_patterns(layout.RECORDS.name)
    return [shutil.copytree(work, work.with_name(f"of{k}"), ignore=ignored) for k in range(count)]


def assert_close(found: dict, expected: dict) -> None:
    for a, b in zip(found["curve"], expected["curve"], strict=True):
        torch.testing.assert_close(a, b, **CURVE)
    for part in ("network", "ema"):
        torch.testing.assert_close(found[part], expected[part], **WEIGHT)


def assert_alike(states: list[dict], alone: dict) -> None:
    """All processes to the same bits, and as one process trains."""
    assert_close(states[0], alone)
    for other in states[1:]:
        assert_same(other, states[0])
