"""Snakemake's lock of a working directory, removed once the process that took it is gone.

Snakemake (9.27.1) marks a directory as in use by files that say nothing of their owner, and that
outlive an owner who was killed. So the owner holds a lock of the kernel besides, from `onstart` on:
if that one is free, the owner is gone.
"""

import socket
import sys
import time
from pathlib import Path

from msdd.pipeline import lock

OWNER = Path(".snakemake/msdd-engine.lock")
# Snakemake writes its files a little before `onstart`: files that are newer than the last owner's
# signature may be those of one that has not come so far yet.
SECONDS_TO_START = 30.0
_owned: set[Path] = set()  # a process may run Snakemake more than once


def own() -> None:
    """Hold the working directory for as long as this process lives."""
    path = OWNER.absolute()
    if path not in _owned:
        lock.keep(path, blocking=True)
        _owned.add(path)


def remove_if_dead() -> None:
    """Remove Snakemake's lock of the working directory if its owner is gone, and say so.

    On a shared file system an owner on another host may not be seen: its lock stays, and the line
    says what to do.
    """
    end, path = time.monotonic() + SECONDS_TO_START, OWNER.absolute()
    if path in _owned:
        return None
    while left := list(Path(".snakemake/locks").glob("*.lock")):
        owner, host = lock.holder(path), lock.host(path)
        if host not in (None, socket.gethostname()):
            cure = "if it is gone, `snakemake --unlock` removes its lock"
            return _tell(f"{owner} has locked this folder and cannot be seen from here; {cure}")
        signed = _changed(path) >= max(map(_changed, left))
        with lock.attempt(path, sign=False) as free:
            if not free:
                return None  # it lives
            if signed or time.monotonic() > end:
                for file in left:
                    file.unlink(missing_ok=True)
                return _tell(f"{owner} ran Snakemake here and is gone; its lock is removed")
        time.sleep(0.5)
    return None


def _changed(path: Path) -> float:
    """When a file was written last; 0 if it is gone."""
    return path.stat().st_mtime if path.exists() else 0.0


def _tell(line: str) -> None:
    print(f"msdd: {line}", file=sys.stderr)
