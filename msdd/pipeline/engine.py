"""The engine that has started this process, Snakemake or DVC, and whether it is still there.

An engine that is killed alone leaves its jobs at work: orphans, whose results nobody would take.
"""

import functools
import os
from pathlib import Path
from typing import NamedTuple

NAMES = ("snakemake", "dvc")
PROCESSES = Path("/proc")
STARTERS = {"sh", "bash", "dash", "zsh", "busybox", "systemd", "init", "tini", "dumb-init"}


PARAMS = "MSDD_PARAMS"  # the params as a run of Snakemake has read them, for its jobs


def params_file(default: Path) -> Path:
    """What a job of Snakemake reads in place of the params file, which may have been edited since;
    the file itself without Snakemake, and where its jobs do not see the folder of the run."""
    copy = Path(os.environ.get(PARAMS, ""))
    return copy if copy.is_file() else default


class Engine(NamedTuple):
    """A process: its name, its number, and when it began, in ticks since the host's start."""

    name: str
    pid: int
    start: str

    @property
    def lost(self) -> str:
        """That the process has ended, in words, whoever has its number now; empty if it has not."""
        ended = process_status(self.pid).get("start") != self.start
        number = f" (process {self.pid})" if self.pid else ""
        return f"{self.name}{number} is gone" if ended else ""


@functools.cache
def above() -> Engine | None:
    """The nearest engine among the parents of this process; None without one, and where there is no
    /proc to tell."""
    pid = int(process_status("self").get("parent", 0))
    while pid > 1:
        status = process_status(pid)
        if name := engine_of(pid):
            return Engine(name, pid, status.get("start", ""))
        pid = int(status.get("parent", 0))
    return None


def gone() -> Engine | None:
    """The engine that started this process by what it has left in the environment, if it was killed
    before this process could see it: then nobody but shells and init is above. Its number is 0.
    """
    name = "dvc" if "DVC_STAGE" in os.environ else os.environ.get("MSDD_ENGINE")
    pid = int(process_status("self").get("parent", 0))
    while pid > 1 and process_status(pid).get("name") in STARTERS:
        pid = int(process_status(pid).get("parent", 0))
    return Engine(name, 0, "") if name in NAMES and pid == 1 else None


def lost() -> str:
    """That this process has lost its engine, in words; empty if it has not, or never had one."""
    engine = above()
    return engine.lost if engine else ""


def engine_of(pid: int) -> str:
    """`snakemake` or `dvc` if the process is one, as a script or a module that Python runs; empty
    for any other, and for one that has ended."""
    try:
        words = (PROCESSES / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return ""
    script = words[2:3] if words[1:2] == ["-m"] else words[:2]
    return next((name for name in NAMES if name in {Path(word).name for word in script}), "")


def process_status(pid: int | str) -> dict[str, str]:
    """`name`, `parent` and `start` of a process that runs, from proc(5); {} of one that ended."""
    try:
        text = (PROCESSES / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return {}
    front, _, behind = text.rpartition(")")  # the name may contain anything
    fields, name = behind.split(), front.partition("(")[2]
    ended = fields[0] in "ZX"
    return {} if ended else {"name": name, "parent": fields[1], "start": fields[19]}
