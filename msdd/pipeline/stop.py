"""Jobs that are asked to stop: they save, and end with a code that says "again".

A scheduler that needs a node sends SIGTERM or SIGUSR1 some seconds before it kills. A job whose
engine was killed stops as well: what it would finish the next run would delete and make again.
"""

import os
import re
import signal
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msdd.errors import MsddError
from msdd.pipeline import engine

EXIT = 75  # EX_TEMPFAIL of sysexits.h; Snakemake's retries and SLURM's requeue start the job again
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
LIMIT = "MSDD_MAX_RUNTIME"
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
AGAIN = "run the same command again to continue from what was saved"
_began = time.monotonic()
_came: list[int] = []  # signals inside the block
_hears: ContextVar[bool] = ContextVar("hears", default=True)


class Stopped(MsddError):  # noqa: N818 - it is no error
    """The job was asked to stop, and has saved what it had."""


@contextmanager
def requests() -> Iterator[Callable[[], str]]:
    """A function that says why the block should save and stop: a signal that has come, the time
    that MSDD_MAX_RUNTIME allows, or the end of the engine; empty if it should go on.

    A second signal ends the process at once, as the first does outside the block. A signal that was
    ignored still is. One that comes after the last question is asked of the next block. In a thread
    that is not the first one, and in `left_alone`, no signal counts.
    """
    hears = _hears.get() and threading.current_thread() is threading.main_thread()
    came, before, told = _came if hears else [], {}, False
    limit = seconds(os.environ[LIMIT]) if os.environ.get(LIMIT) else float("inf")

    def hear(number: int, _) -> None:
        signal.signal(number, before[number])
        came.append(number)

    def asked() -> str:
        nonlocal told
        if came:
            told = True
            return signal.Signals(came[0]).name
        if time.monotonic() - _began > limit:
            return f"{LIMIT} {os.environ[LIMIT]} is over"
        return engine.lost()

    if hears:  # None: a handler that Python has not set and could not set again
        heard = [one for one in SIGNALS if signal.getsignal(one) not in (signal.SIG_IGN, None)]
        before |= {number: signal.signal(number, hear) for number in heard}
    try:
        yield asked
    finally:
        if told:
            came.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def left_alone() -> Iterator[None]:
    """In the block `requests` leaves signals to the process, which is not this program's own."""
    token = _hears.set(False)
    try:
        yield
    finally:
        _hears.reset(token)


def pending() -> str:
    """The signal that no block has been told of yet; empty without one."""
    return signal.Signals(_came[0]).name if _came else ""


def no_more_requests() -> None:
    """Let signals end the process from now on, also inside the block, and one that came before."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        if _came:
            signal.raise_signal(_came[0])


def allow(limit: str | None) -> None:
    """`--max-runtime`, for this process and those that it starts; None leaves MSDD_MAX_RUNTIME."""
    if limit:
        os.environ[LIMIT] = limit


def duration(text: str) -> str:
    """A time as `seconds` reads it, for the parser of options: ArgumentTypeError if it is none."""
    try:
        seconds(text)
    except MsddError:
        raise ArgumentTypeError(f"'{text}' is no time; write 90m, 1h30m or 45s") from None
    return text


def seconds(text: str) -> float:
    """`1h30m`, `90m`, `45s`, `2d`. Raises MsddError naming the variable for anything else."""
    parts = re.findall(r"(\d+)([dhms])", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise MsddError(f"{LIMIT}={text} is no time; write 90m, 1h30m or 45s")
    return float(sum(int(count) * UNITS[unit] for count, unit in parts))
