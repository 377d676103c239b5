"""What is shown on a terminal beside results: colour for a few words, and nothing if asked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TextIO

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
    """If wanted, progress and warnings of the block, which all go to standard error, go nowhere."""
    if not wanted:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stderr(nowhere):
        yield
