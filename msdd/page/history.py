"""What was run where, when, from which commit and at what cost, from the records of provenance."""

from datetime import datetime
from pathlib import Path

import pandas as pd

from msdd.files import shown
from msdd.params.schema import Params
from msdd.pipeline import jobs, layout, provenance
from msdd.pipeline.progress import duration
from msdd.report.notes import commit
from msdd.report.table import Column, Table

KINDS = {
    "prepare": "Data",
    "scatter": "Data",
    "latents": "Data",
    "train": "Stage 1",
    "distil": "Distillation",
    "chain": "Distillation",
    "assemble": "Distillation",
    "evaluate": "Evaluation",
    "baseline": "Evaluation",
    "throughput": "Timing",
}


def records(params: Params, root: Path) -> list[dict]:
    """The records of the jobs that made what the page shows, the first first.

    Those of rows that the params no longer have, and of tables and figures, which the page does not
    read, are left out.
    """
    made = [*(job.artefact for job in jobs.named(params)), layout.throughput()]
    places = {artefact: root / layout.provenance(artefact) for artefact in made}
    found = [
        provenance.read(place) | {"artefact": artefact.with_suffix("").as_posix()}
        for artefact, place in places.items()
        if place.exists()
    ]
    return sorted(found, key=lambda record: (record["started"], record["artefact"]))


def table(found: list[dict]) -> Table:
    """A line a job."""
    order = list(dict.fromkeys(KINDS.values()))
    rows = sorted(map(_row, found), key=lambda row: order.index(row["kind"]))
    # Tables of pandas 3 hold no half of a surrogate pair, which JSON can write.
    rows = [{key: _plain(value) for key, value in row.items()} for row in rows]
    columns = [
        Column("job", "job"),
        Column("started", "started"),
        Column("seconds", "seconds", 1),
        Column("threads", "threads", 0),
        Column("speed", "images/s", 1),
        Column("device", "device"),
        Column("host", "host"),
        Column("engine", "engine"),
        Column("commit", "commit"),
        Column("artefact", "made"),
    ]
    names = dict.fromkeys(column.name for column in columns)
    frame = pd.DataFrame(rows, columns=[*names, "kind", "file"])
    return Table(frame, columns, "Jobs behind the results.", _notes(found), "kind")


def _plain(value: object) -> object:
    return shown(value) if isinstance(value, str) else value


def _row(record: dict) -> dict:
    changed = " with changes" if record["dirty"] else ""
    return {
        "kind": KINDS.get(record["stage"], "Data"),
        "job": _job(record),
        "started": _minute(record["started"]),
        "seconds": record["seconds"],
        "threads": record["threads"],
        "speed": record.get("speed", {}).get("images_per_second"),
        "device": record["device"],
        "host": record["host"],
        "engine": record["engine"],
        "commit": (record["commit"] or "none")[:12] + changed,
        "artefact": record["artefact"],
        "file": None,
    }


def _job(record: dict) -> str:
    """`distil msdd-1step scale 0`."""
    named = dict(record["wildcards"])
    scale = f"scale {named.pop('scale')}" if "scale" in named else ""
    return " ".join(filter(None, [record["stage"], *map(str, named.values()), scale]))


def _minute(started: str) -> str:
    return datetime.fromisoformat(started).strftime("%Y-%m-%d %H:%M")


def _notes(found: list[dict]) -> list[str]:
    return [
        f"{len(found)} jobs, {duration(sum(one['seconds'] for one in found))} together; jobs that "
        "ran side by side, and what else the machine did, count in each.",
        "A training that was interrupted counts all its pieces.",
        "`msdd provenance FILE` tells parameters, inputs and digests behind any file.",
    ]


def facts(found: list[dict]) -> dict[str, str]:
    """Commits, machines, days and cost of all jobs together; empty without records."""
    if not found:
        return {}
    days = dict.fromkeys(record["started"][:10] for record in found)
    versions = found[-1]["versions"]
    return {
        "commit": _listed([commit(record, "none") for record in found]),
        "date": " to ".join(dict.fromkeys([min(days), max(days)])),
        "machine": _listed([f"{record['device']} ({record['host']})" for record in found]),
        "cost": f"{len(found)} jobs, {duration(sum(one['seconds'] for one in found))}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _listed(values: list[str], most: int = 3) -> str:
    """Each once; of many the first ones."""
    unique = list(dict.fromkeys(values))
    more = len(unique) - most
    return ", ".join(unique[:most]) + (f" and {more} more" if more > 0 else "")
