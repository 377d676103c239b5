"""Where stages leave what they tell the experiment tracker, until it has arrived.

A stage's run appends to a folder of its own in `.tracking/outbox`, and `msdd.tracking.delivery`, in
another process, feeds MLflow from there. A folder holds

    run.json       who: row, stage, parameters, tags
    events.jsonl   what happened, in order: status, metrics at a step, files
    files/         what is to become artefacts (hard links where the file system allows)
    delivered.json how far delivery has come
"""

import json
import os
import time
from pathlib import Path

CLOSED = ("FINISHED", "KILLED")  # MLflow's words; RUNNING and FAILED runs may go on


def folder(root: str | Path) -> Path:
    return Path(root) / ".tracking" / "outbox"


def append(folder: Path, event: dict) -> None:
    """One write of one line: a reader sees it whole or not at all."""
    with open(folder / "events.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"time": now()} | event) + "\n")


def now() -> int:
    """MLflow counts milliseconds."""
    return time.time_ns() // 1_000_000


def events(folder: Path, offset: int = 0) -> tuple[list[dict], int]:
    """What was told in a run's folder from a byte on, and the byte behind the last whole line."""
    path = folder / "events.jsonl"
    if not path.exists():
        return [], 0
    with open(path, "rb") as file:
        file.seek(offset)
        whole, end, _ = file.read().rpartition(b"\n")
    lines = (whole + end).splitlines()
    return [json.loads(line) for line in lines], offset + len(whole + end)


def status(folder: Path) -> str:
    """The last status that was told in a run's folder."""
    told = [event["status"] for event in events(folder)[0] if "status" in event]
    return told[-1] if told else "RUNNING"


def mend(folder: Path) -> int:
    """Cut off a line that a killed process left unfinished; returns the last step told, or -1."""
    told, end = events(folder)
    if (folder / "events.jsonl").exists():
        os.truncate(folder / "events.jsonl", end)
    return max((event.get("step", -1) for event in told), default=-1)
