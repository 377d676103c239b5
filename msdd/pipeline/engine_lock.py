"""Snakemake's lock of a working directory, removed once the process that took it is gone.

Snakemake (9.27.1) marks a directory as in use by files that say nothing of their owner, and that
outlive an owner who was killed. So the owner holds a lock of the kernel besides, from `onstart` on:
if that one is free, the owner is gone.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from msdd.errors import MsddError
from msdd.pipeline import lock

OWNER = Path(".snakemake/msdd-engine.lock")
# Snakemake writes its files a little before `onstart`: files that are newer than the last owner's
# signature may be those of one that has not come so far yet.
SECONDS_TO_START = 30.0
PATIENCE = 30  # seconds for an answer of SLURM
RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # the name of a run's jobs
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
    check_survivors(path)
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


def check_survivors(owner: Path) -> None:
    """MsddError while SLURM has jobs of a Snakemake that is gone: a new run would submit them once
    more, and remove what they have made.

    owner: the lock of who runs Snakemake here.
    """
    if not owner.exists() or not (squeue := shutil.which("squeue")):
        return
    with lock.attempt(owner, sign=False) as free:
        if free and (jobs := submitted_here(squeue)):
            raise MsddError(
                f"SLURM still has the jobs {', '.join(jobs)} that {lock.holder(owner)} has "
                "submitted from this folder, and it does not run here. If it is gone, wait until "
                f"they have ended, or end them by `scancel {' '.join(jobs)}`; then run this again"
            )


def submitted_here(squeue: str) -> list[str]:
    """Ids of the jobs that a Snakemake has submitted from this folder; none if SLURM is silent."""
    asked = [squeue, "--noheader", f"--user={os.getuid()}", "--format=%i|%j|%Z"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    jobs = (line.strip().split("|", 2) for line in told.stdout.splitlines())
    here = (job for job in jobs if len(job) == 3 and Path(job[2]) == Path.cwd())
    return [number for number, name, _ in here if RUN.search(name)]


def _changed(path: Path) -> float:
    """When a file was written last; 0 if it is gone."""
    return path.stat().st_mtime if path.exists() else 0.0


def _tell(line: str) -> None:
    print(f"msdd: {line}", file=sys.stderr)
