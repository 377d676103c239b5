"""File locks: one process an artefact, and queues for caches and databases.

filelock takes the lock from the kernel (`flock`), so it ends with the process that holds it, even
one that was killed, and a waiter whose file was deleted queues again for the new one. What stands
in the file only says who holds it; filelock leaves a native lock's file empty, so that is ours.
"""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from filelock import AcquireReturnProxy, FileLock, Timeout

from msdd.errors import MsddError
from msdd.pipeline import engine

_kept: list[AcquireReturnProxy] = []
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}  # of a file system


@contextmanager
def hold(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path` (`checkpoints/<artefact>/lock`) for the block.

    Whoever holds it may delete the file together with its folder. Waits, and says so, for a process
    of this host whose engine is gone: it stops as soon as it can. Raises `MsddError`, naming the
    holder, if another process has it.
    """
    held = _acquire(path, blocking=False)
    if held is None:
        told = f"{Path(path).parent} is being made by {holder(Path(path))}"
        if not (lost := _engine_lost(Path(path))):
            raise MsddError(f"{told}; wait for it or stop it")
        print(f"msdd: {told}, whose {lost}; waiting until it has stopped", file=sys.stderr)
        held = _acquire(path, blocking=True)
    with held:
        yield


@contextmanager
def wait(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path` for the block, after everybody who has it now."""
    with _acquire(path, blocking=True):
        yield


@contextmanager
def attempt(path: str | Path, sign: bool = True) -> Iterator[bool]:
    """Hold the lock file `path` for the block if it is free; yields whether it was.

    Without `sign`, the file goes on naming who held it before.
    """
    held = _acquire(path, blocking=False, sign=sign)
    with held or nullcontext():
        yield held is not None


def take(path: str | Path) -> AcquireReturnProxy | None:
    """The lock file `path`, to be let go by `with`; None if another process has it."""
    return _acquire(path, blocking=False)


def keep(path: str | Path, blocking: bool = False) -> bool:
    """Hold the lock file `path` as long as this process lives, if it is free; whether it was.

    With `blocking`, after everybody who has it now.
    """
    held = _acquire(path, blocking)
    if held is not None:
        _kept.append(held)  # or the lock would end here
    return held is not None


def _acquire(path: str | Path, blocking: bool, sign: bool = True) -> AcquireReturnProxy | None:
    """The lock, released when its `with` ends; None if it is taken and `blocking` is False."""
    # Without the fallback, which is a file that outlives a killed process.
    acquired = _sign if sign else None
    lock = FileLock(path, blocking=blocking, fallback_to_soft=False, on_acquired=acquired)
    try:
        return lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise MsddError(f"{path}: this file system gives no locks ({error.strerror})") from None


def _sign(descriptor: int) -> None:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    holder |= {"engine": engine.above() or engine.gone(), "processes": _processes()}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def holder(path: Path) -> str:
    """Who has signed the lock file last."""
    match _signature(path):
        case {"pid": pid, "host": host, "since": since}:
            return f"process {pid} on {host} since {since}"
    return "another process"  # it has not signed yet


def host(path: Path) -> str | None:
    """The host of whoever has signed the lock file last; None if nobody has."""
    return _signature(path).get("host")


def _engine_lost(path: Path) -> str:
    """That the engine of the lock's holder is gone, in words; empty if it is not, or nobody knows:
    processes of another host, or of another container, cannot be seen from here."""
    match _signature(path):
        case {"engine": [name, pid, start], "host": host, "processes": processes}:
            seen = (host, processes) == (socket.gethostname(), _processes())
            return engine.Engine(name, pid, start).lost if seen else ""
    return ""


def _processes() -> str | None:
    """The set of processes that this one sees, by the kernel's name of it."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return None


def _signature(path: Path) -> dict:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
