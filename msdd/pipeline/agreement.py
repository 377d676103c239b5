"""Whether what is there was made with the params that the file has now.

An engine compares the params with those of its own last run. Stages that were run by hand, or by
the other engine, while a value was tried are not in its memory; the records of the jobs have them.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.params.dotted import dotted
from msdd.params.schema import Params
from msdd.pipeline import layout, provenance
from msdd.pipeline.jobs import Job, named
from msdd.pipeline.task import params_of


def disagreements(params: Params, root: Path) -> list[str]:
    """A line for each job whose record has other values than the params, in the order of jobs.

    Jobs without a record do not count, nor keys that only one side knows: another version of this
    project has written the record.
    """
    found = ((job, changed(job, params, root)) for job in named(params))
    return [told(job, keys) for job, keys in found if keys]


def check_inputs(params: Params, inputs: Iterable[str], root: Path) -> None:
    """MsddError where what a job reads, or what that was made of, was made with other params.

    The job's record and its run in MLflow would tell of values that nothing was made with.

    inputs: files relative to `root`.
    """
    makers = {job.artefact: job for job in named(params)}
    waiting, seen = list(inputs), set[Path]()
    for path in waiting:  # it grows
        folder = Path(path).parent
        if folder in seen or not (job := makers.get(folder)):
            continue
        seen.add(folder)
        if keys := changed(job, params, root):
            raise MsddError(told(job, keys))
        place = root / layout.provenance(folder)
        waiting += provenance.read(place)["inputs"] if place.exists() else []


def told(job: Job, keys: list[str]) -> str:
    return f"{job.artefact} was made with {', '.join(keys)}: `{job.command}` makes it again"


def changed(job: Job, params: Params, root: Path) -> list[str]:
    """The keys whose values a job's record and the params disagree about, with both."""
    place = root / layout.provenance(job.artefact)
    if not place.exists():
        return []
    return differences(
        provenance.read(place)["params"], params_of(params, job.stage, **job.wildcards)
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The keys that both have, with different values, and these."""
    made, now = dotted(before), dotted(json.loads(json.dumps(after)))
    return [
        f"{key} {json.dumps(made[key])}, which is {json.dumps(now[key])} now"
        for key in now
        if key in made and made[key] != now[key]
    ]
