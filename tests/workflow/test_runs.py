"""Real runs of the tiny preset: by either engine or by both, undisturbed or not, the same bytes."""

import os
import re
import signal
import socket

import engines
import pytest
from checkouts import at_work, clone, end, results, run, start

from msdd.files import read_json
from msdd.pipeline import layout, stages


def test_a_killed_stage_goes_on_where_it_was(runs):
    for _, told in runs.values():
        assert "resuming after" in told
    told = runs["snakemake"][1]
    assert told.count("ran Snakemake here and is gone; its lock is removed") == 2


def test_a_job_whose_engine_was_killed_saves_and_stops(runs):
    told = runs["snakemake"][1]
    assert re.search(
        r"stopped by finetune .*: snakemake \(process \d+\) is gone; saved after", told
    )


def test_either_engine_makes_the_same_bytes(runs):
    """What was killed under one was not under the other."""
    (ours, _), (theirs, _) = runs.values()
    assert results(ours) == results(theirs)
    assert (makers(ours), makers(theirs)) == ({"snakemake"}, {"dvc"})


def makers(folder):
    """The engines that the records in a folder name."""
    records = [read_json(path) for path in (folder / layout.RECORDS).rglob("*.json")]
    names = engines.dvc_jobs(folder).keys() - {"code"}
    assert {record["rule"] for record in records} <= names | set(stages.STAGES)
    assert len(records) == len(names)
    return {record["engine"] for record in records}


def test_whoever_runs_next_finds_it_done(runs):
    (ours, _), (theirs, _) = runs.values()
    engines.commit(ours)
    for folder in (ours, theirs):
        run(folder, "make", "known")
        assert engines.dvc_changed(folder) == set()
    assert "Nothing to be done" in run(theirs, "snakemake", "-n")


@pytest.mark.slow
def test_half_by_each_and_both_at_once(runs, tmp_path):
    """DVC has its half from the run cache. Snakemake computes the rest, and DVC is refused then."""
    theirs, _ = runs["dvc"]
    folder = clone(theirs, tmp_path / "mixed")
    (folder / "dvc.lock").unlink()
    (folder / ".dvc/config.local").write_text(f"[cache]\ndir = {theirs / '.dvc/cache'}\n")
    told = run(folder, "dvc", "repro", "assemble@msdd-1step", "evaluate@teacher", "baseline")
    assert told.count("is cached - skipping run") == 8
    assert re.findall("Running stage '(.+)'", told) == ["code"]

    snakemake = start(folder, "snakemake", "--cores", "2")
    pid = at_work(snakemake, "runs/msdd/finetuned")
    os.kill(pid, signal.SIGSTOP)
    told = run(folder, "dvc", "repro", "--no-run-cache", "chain@finetuned", succeeds=False)
    assert f"is being made by process {pid} on {socket.gethostname()}" in told
    os.kill(pid, signal.SIGCONT)
    end(snakemake)

    assert results(folder) == results(theirs)
    assert makers(folder) == {"snakemake", "dvc"}
    engines.commit(folder)
    assert engines.dvc_changed(folder) == set()
