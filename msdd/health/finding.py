"""One line of `msdd doctor`."""

from typing import Literal, NamedTuple

State = Literal["ok", "warn", "missing"]


class Finding(NamedTuple):
    """What was found out about one thing.

    state: `missing` only for what the params need: then no run would end well.
    cure:  what to do; empty where nothing is to be done.
    """

    about: str
    state: State
    text: str
    cure: str = ""


def absent(about: str, needed: bool, text: str, cure: str) -> Finding:
    """A finding about something that is not here: an error only if the params need it."""
    return Finding(about, "missing" if needed else "warn", text, cure)
