"""Servers that come back from an older dump: what they have lost is delivered again.

Each delivery leaves a mark, as a tag of the experiment and on disk. Where the two differ, the
server has never heard of the last delivery. For that, runs that were delivered in full stay on disk
for a week, in `.tracking/sent`.
"""

import os
import re
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from msdd.errors import MsddError
from msdd.files import write_json
from msdd.pipeline import forms
from msdd.tracking import outbox

KEPT_SECONDS = 7 * 24 * 3600


def keep(folder: Path) -> None:
    """Put a run that was delivered in full among those that are kept."""
    target = _sent(folder.parents[2]) / folder.name
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(folder, target)
    os.utime(target)


def clear(root: Path) -> None:
    """Delete what was delivered more than a week ago."""
    for folder in _sent(root).glob("*"):
        if time.time() - folder.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def marked(root: Path, uri: str) -> bool:
    """Whether anything was delivered to an address."""
    return uri in _marks(root)


def mark(client: Any, experiment: str, root: Path, uri: str) -> None:
    """Leave a new mark at an address, first there and then on disk.

    Interrupted in between, the next delivery sends again what is there already.
    """
    marks, new = _marks(root), uuid.uuid4().hex
    marks = {"folder": _folder(root), "outbox": uuid.uuid4().hex} | marks
    client.set_experiment_tag(experiment, _tag(marks), new)
    write_json(_file(root), marks | {uri: new})


def lost(client: Any, root: Path, uri: str) -> bool:
    """Whether the server at an address does not know of the last delivery to it, under whatever
    name its experiment has now."""
    from mlflow.entities import ViewType

    marks = _marks(root)
    if uri not in marks:
        return False
    query = f"tags.`{_tag(marks)}` = '{marks[uri]}'"
    return not client.search_experiments(ViewType.ALL, filter_string=query)


def again(root: Path, uri: str) -> int:
    """Let all that was delivered to an address wait again; returns how many runs."""
    for folder in _sent(root).glob("*"):
        target = outbox.folder(root) / folder.name
        if _delivered(folder, uri) and not target.exists():
            os.replace(folder, target)
    known = [(folder, _delivered(folder, uri)) for folder in outbox.folders(root)]
    for folder, note in known:
        if note:
            write_json(folder / "delivered.json", note | {"offset": 0})
    return sum(bool(note) for _, note in known)


def _delivered(folder: Path, uri: str) -> dict[str, Any]:
    """The note of what was delivered to an address; empty if nothing was, or it is damaged."""
    with suppress(MsddError, OSError):
        note = forms.read(folder / "delivered.json", forms.Delivered, "no note of a delivery")
        return note if note["uri"] == uri else {}
    return {}


def _tag(marks: dict[str, str]) -> str:
    return f"msdd.outbox.{marks['outbox']}"


def _marks(root: Path) -> dict[str, str]:
    """The mark at each address, and under `outbox` a name for this outbox among others.

    Nothing in a copy of a checkout, which the original would outdate with each delivery, and
    nothing if the file is damaged: the next delivery begins another one.
    """
    with suppress(MsddError, OSError):
        marks = forms.read(_file(root), dict[str, str], "no record of deliveries")
        plain = all(re.fullmatch("[0-9a-f]{32}", x) for k, x in marks.items() if k != "folder")
        if plain and "outbox" in marks and marks.get("folder") == _folder(root):
            return marks
    return {}


def _folder(root: Path) -> str:
    """What a folder keeps when it moves, on every host that reaches it, and a copy has not."""
    return str((root / ".tracking").stat().st_ino)


def _file(root: Path) -> Path:
    return root / ".tracking" / "marks.json"


def _sent(root: Path) -> Path:
    return root / ".tracking" / "sent"
