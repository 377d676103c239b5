"""Whether what is there was made with the params that the file has now, and of what is there now.

An engine compares the params with those of its own last run. Stages that were run by hand, or by
the other engine, while a value was tried are not in its memory; the records of the jobs have them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.files import digest
from msdd.params.dotted import dotted
from msdd.params.schema import Params
from msdd.pipeline import layout, provenance
from msdd.pipeline.jobs import Job, named
from msdd.pipeline.task import params_of

TIMING = Job("throughput", {}, layout.throughput())


def disagreements(params: Params, root: Path, files: Iterable[Path | str]) -> list[str]:
    """The lines of `outdated`."""
    return list(outdated(params, root, files).values())


def outdated(params: Params, root: Path, files: Iterable[Path | str]) -> dict[Path, str]:
    """A line for each job behind these files, relative to `root`, whose record has other values
    than the params, or other inputs than are there now, in the order of jobs, by what it has made.

    Jobs without a record do not count, nor keys that only one side knows: another version of this
    project has written the record.
    """
    jobs = {job.artefact: job for job in [*named(params), TIMING]}
    records = _records(map(Path, files), jobs, root)
    made = {path: sha256 for record in records.values() for path, sha256 in record["made"].items()}
    found = [(jobs[artefact], records[artefact]) for artefact in jobs if artefact in records]
    lines = [
        (job, [*_changed(job, record, params), *_earlier(record, made, root)])
        for job, record in found
    ]
    return {job.artefact: _told(job, what) for job, what in lines if what}


def _told(job: Job, what: list[str]) -> str:
    return f"{job.artefact} was made with {', '.join(what)}: `{job.command}` makes it again"


def check_inputs(params: Params, inputs: Iterable[str], root: Path) -> None:
    """MsddError where what a job reads, or what that was made of, was made with other params, or of
    what has been made anew since.

    The job's record and its run in MLflow would tell of values that nothing was made with.

    inputs: files relative to `root`.
    """
    if lines := disagreements(params, root, inputs):
        raise MsddError(lines[0])


def _records(files: Iterable[Path], jobs: Mapping[Path, Job], root: Path) -> dict[Path, dict]:
    """The records, by artefact, of the jobs that have made these files and all that was read for
    them, if they have one and the artefact is there. Others are not read: jobs may be writing."""
    waiting, records = list(files), dict[Path, dict]()
    for path in waiting:  # it grows
        for artefact in {path, path.parent} & jobs.keys() - records.keys():
            place = root / layout.provenance(artefact)
            if place.exists() and (root / artefact).exists():
                records[artefact] = provenance.read(place)
                waiting += map(Path, records[artefact]["inputs"])
    return records


def _changed(job: Job, record: dict, params: Params) -> list[str]:
    """The stage, or the keys, about whose values a job's record and the params disagree."""
    before, after = {"stage": record["stage"]}, {"stage": job.stage}
    if before != after:  # a student that was assembled, and is trained as a whole now
        return differences(before, after)
    return differences(record["params"], params_of(params, job.stage, **job.wildcards))


def _earlier(record: dict, made: Mapping[str, str], root: Path) -> list[str]:
    """What a job has read and has been made anew since, with another content.

    What timing only waits for does not count, nor weights, on which speed does not depend. A file
    that was fetched or copied without its record is what it is, whatever an older record says.
    """
    timed = record["stage"] == TIMING.stage
    return [
        f"an earlier {path}"
        for path, sha256 in record["inputs"].items()
        if made.get(path, sha256) != sha256
        and (not timed or Path(path).name == "config.json")
        and not ((root / path).is_file() and digest(root / path) == sha256)
    ]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys that both have, with different values, and these."""
    made, now = dotted(before), dotted(json.loads(json.dumps(after)))
    return [
        f"{key} {json.dumps(made[key])}, which is {json.dumps(now[key])} now"
        for key in now
        if key in made and made[key] != now[key]
    ]
