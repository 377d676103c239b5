"""Runs on disk, until MLflow has all of them.

The run of a stage appends to a folder of its own in `.tracking/outbox`; another process delivers it
to MLflow from there (`msdd.tracking.delivery`). A folder contains

    run.json       the run: row, stage, parameters, tags
    events.jsonl   what happened, in order: status, metrics at a step, files
    files/         future artefacts (hard links where the file system allows them)
    delivered.json what has been delivered so far
"""

import errno
import json
import os
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from msdd.errors import MsddError
from msdd.pipeline import forms
from msdd.tracking import parents

CLOSED = ("FINISHED", "KILLED")  # MLflow's words; RUNNING and FAILED runs may continue


def folder(root: str | Path) -> Path:
    """The outbox of a working directory; it contains a folder for each run."""
    return Path(root) / ".tracking" / "outbox"


def folders(root: str | Path) -> list[Path]:
    """The folders of all runs, in the order in which these began: their names end in the time."""
    return sorted(folder(root).glob("*"), key=lambda path: (path.suffix.rjust(20), path.name))


def by_parent(root: str | Path) -> dict[str, list[Path]]:
    """The folders of runs under each parent, by the parent's key."""
    found = defaultdict(list)
    for path in folders(root):
        if (path / "run.json").exists():
            with suppress(MsddError):  # its own delivery tells what is wrong with it
                for parent in parents.read(read(path)):
                    found[parent["key"]].append(path)
    return found


def read(folder: Path) -> dict:
    """The record of a run. MsddError if it is damaged."""
    return forms.read(folder / "run.json", forms.Run, "no record of a run")


def file(folder: Path, name: str) -> Path:
    """A run's file by the name in its event. MsddError for one outside the folder `files`."""
    path, inside = folder / "files" / name, folder / "files"
    plain = "\0" not in name and ".." not in Path(name).parts and name not in ("", ".")
    if not plain or not path.resolve().is_relative_to(inside.resolve()):
        raise MsddError(f"{folder / 'events.jsonl'}: refused: {name!r} is no file of that run")
    return path


def append(folder: Path, event: dict) -> None:
    """Append an event to a run's folder, in one write of one line, with the time.

    A reader sees it as a whole or not at all. On a full disk OSError, and no part of it stays.
    """
    path, line = folder / "events.jsonl", json.dumps({"time": now()} | event) + "\n"
    with open(path, "ab", buffering=0) as file:
        before = file.tell()
        if file.write(line.encode()) < len(line.encode()):
            file.truncate(before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def now() -> int:
    """The time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000


def events(folder: Path, offset: int = 0) -> tuple[list[dict], int]:
    """The events in a run's folder from the byte `offset`, and the byte after the last one.

    Lines that a power cut has damaged are left out: a file system may keep a length without what
    was written.
    """
    path = folder / "events.jsonl"
    if not path.exists():
        return [], 0
    with open(path, "rb") as file:
        file.seek(offset)
        whole, end, _ = file.read().rpartition(b"\n")
    found = filter(None, (_event(path, line) for line in (whole + end).split(b"\n")))
    return list(found), offset + len(whole + end)


def _event(path: Path, line: bytes) -> dict | None:
    """None for what a power cut leaves of a line: nothing, or zeros."""
    if not line.strip(b"\0"):
        return None
    told = f"{path} has a line that is no event"
    try:
        return forms.checked(json.loads(line.lstrip(b"\0")), forms.Event, told)
    except (ValueError, RecursionError) as error:
        raise MsddError(f"{told} ({error}); remove that line") from error


def status(folder: Path) -> str:
    """The last status in a run's folder, RUNNING if there is none yet."""
    statuses = [event["status"] for event in events(folder)[0] if "status" in event]
    return statuses[-1] if statuses else "RUNNING"


def mend(folder: Path) -> int:
    """Cut off a line that a killed process left unfinished; returns the last step, or -1."""
    complete, end = events(folder)
    if (folder / "events.jsonl").exists():
        os.truncate(folder / "events.jsonl", end)
    return max((event.get("step", -1) for event in complete), default=-1)
