"""The live line of a long step: how far, how fast, how long still."""

import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

TERMINAL_SECONDS, LOG_SECONDS = 2.0, 5.0  # between two lines on a terminal, in a log


class Progress:
    """Shows the progress of a step on standard error and appends it to a log file.

    Parameters
    ----------
    label: what is being done ("train msdd").
    total: how many units there are, in all attempts together.
    unit: what is counted.
    log: file to which dated lines are appended; it survives restarts.
    start: units that an earlier attempt has done. They count as done but not towards the rate.

    A context manager: the last update is always shown, also when the step fails.
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
        self.pending: tuple[int, dict] | None = None

    def __enter__(self) -> "Progress":
        self.began = self.shown = time.monotonic()
        if self.log:
            self.log.parent.mkdir(parents=True, exist_ok=True)
        return self

    def update(self, done: int, **figures: float) -> None:
        """Say that `done` units of the total are behind us, with the latest figures (loss=...)."""
        self.pending = done, figures
        if time.monotonic() - self.shown >= (TERMINAL_SECONDS if self.terminal else LOG_SECONDS):
            self._show()

    def __exit__(self, *_) -> None:
        if self.pending:
            self._show()
        if self.terminal:
            self.stream.write("\n")

    def _show(self) -> None:
        done, figures = self.pending
        self.pending, self.shown = None, time.monotonic()
        text = self._line(done, figures, self.shown - self.began)
        if self.terminal:  # a wrapped line could not be rewritten
            text_shown = text[: shutil.get_terminal_size().columns - 1]
            self.stream.write(f"\r{text_shown}\x1b[K")
        else:
            self.stream.write(text + "\n")
        self.stream.flush()
        if self.log:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}\n")

    def _line(self, done: int, figures: dict[str, float], seconds: float) -> str:
        rate = (done - self.start) / seconds if seconds > 0 else 0.0
        parts = [self.label, f"{done:,}/{self.total:,} {self.unit}"]
        parts += [f"{number(rate)}/s"] if rate > 0 else []
        parts += [f"{name} {number(value)}" for name, value in figures.items()]
        if done >= self.total:
            parts.append(f"done in {duration(seconds)}")
        elif rate > 0:
            parts.append(f"{duration((self.total - done) / rate)} left")
        return "   ".join(parts)


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
