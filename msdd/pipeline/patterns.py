"""Regular expressions that match names of rows and nothing else."""

from collections.abc import Iterable
from itertools import groupby
from os.path import commonprefix


def any_of(names: Iterable[str]) -> str:
    """A pattern of exactly these names of letters, digits and `-`; of none, it matches nothing.

    Common beginnings are written once: `a-1`, `a-2` become `a-[12]`. Snakemake puts a pattern into
    the text of every path of a rule and reads that text again for every job, so that long patterns
    cost a time that grows with the square of the rows.
    """
    groups = groupby(sorted(set(names)), key=lambda name: name[:1])
    patterns = [_with_beginning(list(group)) for _, group in groups]
    letters = "".join(pattern for pattern in patterns if len(pattern) == 1)  # `-` stands first
    longer = [pattern for pattern in patterns if len(pattern) != 1]
    return "|".join([*([f"[{letters}]"] if letters else []), *longer]) or "(?!)"


def _with_beginning(names: list[str]) -> str:
    """The pattern of different names with the same first letter; one of a single name is itself."""
    beginning = commonprefix(names)
    ends = [name[len(beginning) :] for name in names]
    return f"{beginning}(?:{any_of(ends)})" if len(names) > 1 else beginning
