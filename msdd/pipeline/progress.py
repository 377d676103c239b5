"""The live line of a long step: how far, how fast, how long still; and what runs without one."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from msdd.files import unwritten

TERMINAL_SECONDS, LOG_SECONDS = 2.0, 5.0  # between two lines on a terminal, in a log
SILENT_SECONDS = 2.0  # before `busy` says anything
TICK_SECONDS = 1.0  # between two looks at the clock


class Progress:
    """Shows the progress of a step on standard error and appends it to a log file.

    Parameters
    ----------
    label: what is being done ("train msdd").
    total: how many units there are, in all attempts together.
    unit: what is counted.
    log: file to which dated lines are appended; it survives restarts.
    start: units that an earlier attempt has done. They count as done but not towards the rate.

    A context manager: from its start it shows a line now and then, also where one unit takes long,
    and at last the last update, also when the step fails.
    """

    def __init__(
        self,
        label: str,
        total: int,
        unit: str = "images",
        log: str | Path | None = None,
        start: int = 0,
    ):
        self.label, self.total, self.unit, self.start = label, total, unit, start
        self.log = Path(log) if log else None
        self.stream = sys.stderr
        self.terminal = self.stream.isatty()
        self.pending = False
        self.done, self.figures = start, {}
        self.lock = threading.Lock()
        self.ticks = ticking(self._tick)

    def __enter__(self) -> "Progress":
        self.began = self.updated = time.monotonic()
        self._show()
        self.ticks.__enter__()
        return self

    def update(self, done: int, **figures: float) -> None:
        """Say that `done` units of the total are behind us, with the latest figures (loss=...)."""
        with self.lock:
            self.done, self.figures, self.updated = done, figures, time.monotonic()
            self.pending = True
            self._show_if_due()

    def _tick(self) -> None:
        with self.lock:
            self._show_if_due()

    def __exit__(self, *_) -> None:
        self.ticks.__exit__(None, None, None)
        if self.pending:
            self._show()
        if self.terminal:
            self.stream.write("\n")

    def _show_if_due(self) -> None:
        if time.monotonic() - self.shown >= (TERMINAL_SECONDS if self.terminal else LOG_SECONDS):
            self._show()

    def _show(self) -> None:
        self.pending, self.shown = False, time.monotonic()
        seconds, waited = self.updated - self.began, self.shown - self.updated
        text = self._line(self.done, self.figures, seconds, waited)
        if self.terminal:  # a wrapped line could not be rewritten
            text_shown = text[: shutil.get_terminal_size().columns - 1]
            self.stream.write(f"\r{text_shown}\x1b[K")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()
        if self.log:
            self._append(text)

    def _append(self, text: str) -> None:
        """A line of the log, on which no result depends; without a place for it there is no log."""
        log, self.log = self.log, None
        with unwritten("no more lines of progress are kept"):
            log.parent.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
            with open(log, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")
            self.log = log

    def _line(self, done: int, figures: dict[str, float], seconds: float, waited: float) -> str:
        """seconds: from the start to the last update, which give the rate; waited: since then."""
        rate = (done - self.start) / seconds if seconds > 0 else 0.0
        parts = [self.label, f"{done:,}/{self.total:,} {self.unit}"]
        parts += [f"{number(rate)}/s"] if rate > 0 else []
        parts += [f"{name} {number(value)}" for name, value in figures.items()]
        if done >= self.total:
            parts.append(f"done in {duration(seconds)}")
        elif rate > 0:
            parts.append(f"{duration(max(0.0, (self.total - done) / rate - waited))} left")
        elif seconds + waited >= 1:
            parts.append(f"{duration(seconds + waited)} so far")
        return "   ".join(parts)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Says on standard error what runs and for how long, every 5 s from the second second on."""
    began, shown = time.monotonic(), -LOG_SECONDS

    def tick() -> None:
        nonlocal shown
        seconds = time.monotonic() - began
        if seconds >= SILENT_SECONDS and seconds - shown >= LOG_SECONDS:
            shown = seconds
            print(f"{what}   {duration(seconds)} so far", file=sys.stderr, flush=True)

    with ticking(tick):
        yield


@contextmanager
def ticking(call: Callable[[], None]) -> Iterator[None]:
    """Call once a second, from another thread, while the block runs."""
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(TICK_SECONDS):
            call()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def number(value: float) -> str:
    """Four significant digits, without an exponent where the number is readable without one."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:#.4g}".rstrip(".")


def duration(seconds: float) -> str:
    """A time in its two largest units: `40 s`, `9 min 40 s`, `2 h 5 min`, `3 d 4 h`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    first = next((i for i, (count, _) in enumerate(units) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in units[first : first + 2] if count) or "0 s"
