"""File locks: one process an artefact, and queues for caches and databases.

The lock is the kernel's (`flock`), so it ends with the process that holds it, even one that was
killed. What stands in the file only says who holds it.
"""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msdd.errors import MsddError


@contextmanager
def hold(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path` (`checkpoints/<artefact>/lock`) for the block.

    Whoever holds it may delete the file together with its folder. Raises `MsddError`, naming the
    holder, if another process has it.
    """
    descriptor = _lock(Path(path), fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        raise MsddError(
            f"{Path(path).parent} is being made by {_holder(Path(path))}; wait for it or stop it"
        )
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def wait(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path` for the block, after everybody who has it now."""
    descriptor = _lock(Path(path), fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def attempt(path: str | Path) -> Iterator[bool]:
    """Hold the lock file `path` for the block if it is free; yields whether it was."""
    descriptor = _lock(Path(path), fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: Path, how: int) -> int | None:
    """A descriptor of `path` that has the lock; None if it is taken and `how` does not wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, how)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return None
            raise MsddError(f"{path}: this file system gives no locks ({error.strerror})") from None
        if _is_at(descriptor, path):
            _sign(descriptor)
            return descriptor
        os.close(descriptor)  # the last holder deleted the file that we waited for: queue again


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError):
        return "another process"  # it has not signed yet
