"""The one exception that users are meant to read, and what it says of a name that is not known."""

from collections.abc import Iterable


class MsddError(Exception):
    """Something the user can mend; the message is one line that names it and says how."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """`did you mean NAME? ` for the known name that is nearest to a given one; empty if none is."""
    import difflib  # not at import: a message is rare, and `msdd --help` waits for nothing

    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return f"did you mean {by_lower[near[0]]}? " if near else ""


def known_names(name: object, known: Iterable[str]) -> str:
    """The end of a message on a name that is not known: the nearest one, and all there are."""
    known = list(known)
    return f"{did_you_mean(name, known)}known: {', '.join(known) or 'none'}"
