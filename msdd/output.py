"""Standard output and error that end nothing: a result that cannot be shown is still a result."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Shown:
    """A text stream whose writes never raise.

    Characters that its encoding does not have are written as escapes. `lost` is the OSError of the
    first write that failed; what comes after it is dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.lost = stream, None
        if getattr(stream, "errors", None) in ("strict", "surrogateescape"):  # nobody's own choice
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        self._attempt(self.stream.write, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def finish(self) -> None:
        """Send what is left; where that fails, to nowhere, or Python would try again at its end."""
        self.flush()
        if self.lost:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())

    def _attempt(self, call: Callable[..., object], *given: str) -> None:
        if self.lost is None:
            try:
                call(*given)
            except OSError as error:
                self.lost = error


@contextmanager
def lasting() -> Iterator[Shown]:
    """In the block `sys.stdout` and `sys.stderr` are `Shown`; yields the first of them."""
    before = sys.stdout, sys.stderr
    out, err = sys.stdout, sys.stderr = tuple(map(_shown, before, (1, 2)))
    try:
        yield out
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = before


def _shown(stream: TextIO | None, descriptor: int) -> Shown:
    """A stream to nowhere in place of None, which Python sets for a closed descriptor.

    The descriptor itself too, or the next file that is opened would get what libraries print.
    """
    if stream is None:
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process)
        if not _is_open(descriptor):
            os.dup2(stream.fileno(), descriptor)
    return Shown(stream)


def _is_open(descriptor: int) -> bool:
    with suppress(OSError):
        os.fstat(descriptor)
        return True
    return False
