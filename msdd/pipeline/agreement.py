"""Whether what is there was made with the params that the file has now.

An engine compares the params with those of its own last run. Stages that were run by hand, or by
the other engine, while a value was tried are not in its memory; the records of the jobs have them.
"""

import json
from pathlib import Path
from typing import Any

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
    return [
        f"{job.artefact} was made with {', '.join(keys)}: `{job.command}` makes it again"
        for job, keys in found
        if keys
    ]


def changed(job: Job, params: Params, root: Path) -> list[str]:
    """The keys whose values a job's record and the params disagree about, with both."""
    place = root / layout.provenance(job.artefact)
    if not place.exists():
        return []
    now = flat(json.loads(json.dumps(params_of(params, job.stage, **job.wildcards))))
    made = flat(provenance.read(place)["params"])
    return [
        f"{key} {json.dumps(made[key])}, which is {json.dumps(now[key])} now"
        for key in now
        if key in made and made[key] != now[key]
    ]


def flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted keys."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found
