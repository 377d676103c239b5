"""One record of every job: what made an artefact, from what, where and when.

The bytes of a record are not reproducible, so it is a file of its own below `provenance/`: an
output of the job for both workflow engines, shared like any other, but the input of no job.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.files import digest, read_json, write_json
from msdd.pipeline import environment, forms, layout
from msdd.pipeline.task import Task

PIECE = (
    "started",
    "host",
    "device",
    "engine",
    "commit",
    "dirty",
)  # recorded of each piece of a training
OTHERS = {
    Path(".code"): "digests of the present code, which `msdd code` writes",
    Path("checkpoints"): "the state of a job that is not finished",
    layout.systems(): "`msdd evaluate --tokenizer` measures beside the pipeline",
    layout.published(): "figures from papers, written by hand",
    layout.rows(): "`msdd params expand` derives it from params.yaml",
}


@contextmanager
def recorded(
    task: Task, artefact: Path, made: Iterable[Path], root: Path, earlier: Iterable[dict] = ()
) -> Iterator[dict[str, Any]]:
    """Write the record of `artefact` after the block has written all files; not if it fails.

    task:    what decided the result.
    made:    the files, relative to `root`.
    earlier: the `pieces` of a training before it was resumed.

    Yields a dictionary for what only the block knows: `run`, the tracker's run; `images_before`,
    where a training continues; `speed`, of a training; `made`, digests that it has computed.
    """
    here, began, inside = environment.context(), time.monotonic(), {}
    yield inside
    here |= {"rule": environment.rule(task.stage), "seconds": time.monotonic() - began}
    digests = {str(path): digest(root / path) for path in made} | inside.pop("made", {})
    record = task.record() | here | inside | {"made": digests}
    if earlier:
        record |= _join([*earlier, _piece(record)])
    write_json(root / layout.provenance(artefact), record)


def _join(pieces: list[dict]) -> dict[str, Any]:
    return {"pieces": pieces, "seconds": sum(piece["seconds"] for piece in pieces)}


def _piece(record: dict) -> dict:
    return {name: record[name] for name in (*PIECE, "seconds", "images_before")}


def pieces(path: Path, checkpoint: Path, resumed: bool, images: int) -> list[dict]:
    """The earlier pieces of a training; notes in the file `path` that another one begins.

    images: those seen before. An interrupted piece lasts until its last checkpoint: the rest of its
    work is lost.
    """
    earlier = read_json(path)["pieces"] if resumed and path.exists() else []
    if earlier:
        began = datetime.fromisoformat(earlier[-1]["started"]).timestamp()
        earlier[-1]["seconds"] = max(0.0, checkpoint.stat().st_mtime - began)
    here = environment.context()
    begun = {name: here[name] for name in PIECE} | {"images_before": images}
    write_json(path, {"pieces": [*earlier, begun]})
    return earlier


def find(path: Path, root: Path) -> dict:
    """The record of a file, or of the folder that a job has filled; `path` is relative to `root`.

    Raises MsddError with what is known of the file, if there is no record.
    """
    places = sorted((root / layout.RECORDS).rglob("*.json"))
    own = {root / path, root / layout.provenance(path)}
    for place in sorted(places, key=lambda place: place not in own):
        try:
            record = read(place)
        except MsddError:
            if place in own:
                raise
            continue  # a damaged record of something else
        is_own = place in own and (root / path).is_dir()
        if str(path) in record["made"] or is_own or place == root / path:
            return record
    raise MsddError(_unknown(path, root))


def read(path: Path) -> dict:
    """A record. MsddError if it is damaged."""
    record = forms.read(path, forms.Record, "no record of provenance")
    try:
        for one in (record, *record.get("pieces", [])):
            datetime.fromisoformat(one["started"])
    except ValueError as error:
        raise MsddError(
            f"{path} is no record of provenance ({error}); make or fetch it again"
        ) from error
    return record


def part(path: Path, record: dict) -> dict[str, str]:
    """The digests in a record of one file, or of all in a folder; of all its files otherwise."""
    made = record["made"]
    return {name: made[name] for name in made if Path(name).is_relative_to(path)} or made


def check(digests: dict[str, str], root: Path) -> dict[str, dict]:
    """Recorded digests, and whether the files still have them; None for missing files."""
    return {
        name: {"sha256": recorded, "unchanged": _unchanged(root / name, recorded)}
        for name, recorded in digests.items()
        if "\0" not in name
    }


def _unchanged(path: Path, recorded: str) -> bool | None:
    return digest(path) == recorded if path.is_file() else None


def _unknown(path: Path, root: Path) -> str:
    if not (root / path).exists():
        return f"there is no {path}, and no record of one"
    for place, what in OTHERS.items():
        if path.is_relative_to(place):
            return f"{path} was not made by a stage of this pipeline: {what}"
    if (root / path).is_dir():
        return f"{path} is not the folder of a single job: name a file in it"
    if _artefact(path):
        return (
            f"{path} has no record: it was made before there were any, or {layout.RECORDS}/ is "
            "incomplete; its stage writes one when it runs again"
        )
    return f"{path} was not made by a stage of this pipeline"


def _artefact(path: Path) -> bool:
    if path.is_relative_to(layout.RUNS):
        return path.name in layout.TRAINING_FILES or path.parent.name == "eval"
    reports = [file for name in layout.REPORTS for file in layout.report(name)]
    folders = (layout.prepared(), layout.RECEIPTS)
    return path in reports or any(path.is_relative_to(folder) for folder in folders)
