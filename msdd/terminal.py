"""What is shown on a terminal beside results: colour for a few words, and nothing if asked."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

COLOURS = {"red": 31, "green": 32, "yellow": 33}


def paint(text: str, colour: str, stream: TextIO) -> str:
    """The text in a colour if the stream is a terminal; as it is where NO_COLOR is set to anything
    (no-color.org), and on a terminal that has no colours."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not stream.isatty():
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


@contextmanager
def silent(wanted: bool) -> Iterator[None]:
    """If wanted, progress and warnings of the block, which all go to standard error, go nowhere.

    What threads say that were there before it goes on. Two such blocks must not overlap, unless one
    is in the other.
    """
    if not wanted:
        yield
        return
    with redirect_stderr(_OfOthers(sys.stderr)):
        yield


class _OfOthers:
    """A stream for the threads that are there, but for this one; those that it starts, such as the
    clock of a progress line, are not."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.heard = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}

    def write(self, text: str) -> int:
        return self.stream.write(text) if threading.get_ident() in self.heard else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
