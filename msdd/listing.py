"""Which files a pattern or a folder stands for."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from msdd.errors import MsddError

BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
MOST_FILES, LONGEST = 100_000, 4096  # that a pattern stands for; characters of a path on Linux


def expanded(path: Path) -> list[Path]:
    """The files that a path with `{000..009}`, `{a,b}` or `*` stands for, sorted.

    The path itself where it exists or has none of these. Files of braces need not exist.
    """
    if path.exists():
        return [path]
    named = [Path(one) for one in braces(str(path))]
    return sorted(
        {file for one in named for file in (_matching(one) if "*" in str(one) else [one])}
    )


def _matching(path: Path) -> Iterable[Path]:
    parts = path.relative_to(path.anchor).parts
    plain = [re.sub(r"([?\[])", r"[\1]", single_stars(part)) for part in parts]
    found = _below(Path(path.anchor), plain)
    return [one for one in found if not hides(path.parts, one.parts)]


def single_stars(part: str) -> str:
    """One name of a pattern, in which `**` beside other letters is `*`, as in shells."""
    return part if part == "**" else re.sub(r"\*+", "*", part)


def _below(folder: Path, parts: Sequence[str]) -> Iterable[Path]:
    """What parts of a pattern stand for below a folder. `**`, which `Path.glob` does not follow
    through links, stands for every folder that `walk` enters."""
    if "**" not in parts:
        return folder.glob("/".join(parts)) if parts else [folder]
    at = parts.index("**")
    rest = parts[at + 1 :]
    hidden = any(part.startswith(".") for part in rest)
    starts = filter(Path.is_dir, _below(folder, parts[:at]))
    within = {one for start in starts for one in _folders(start, hidden)}
    return {one for start in within for one in _below(start, rest)}


def _folders(top: Path, hidden: bool) -> Iterator[Path]:
    """A folder and all below it, each once, also where links lead in circles."""
    seen = {os.path.realpath(top)}
    for here, folders, _ in os.walk(top, followlinks=True, onerror=_refuse):
        yield Path(here)
        folders[:] = [
            name for name in sorted(folders) if _is_new(os.path.join(here, name), seen, hidden)
        ]


def hides(wanted: Sequence[str], found: Sequence[str]) -> bool:
    """Whether a `*` in the parts of a pattern stands for the dot of a hidden file or folder."""
    named = [part for part in wanted if part.startswith(".")]
    hidden = (name for name in found if name.startswith(".") and name not in named)
    return any(not any(fnmatchcase(name, part) for part in named) for name in hidden)


def braces(pattern: str) -> list[str]:
    """All texts that a pattern stands for: `a{08..10}` for a08, a09, a10, `{a,b}` for a, b.

    MsddError for more than MOST_FILES.
    """
    found, waiting = [], [pattern]
    while waiting:
        one = waiting.pop()
        match = BRACES.search(one) if len(one) <= LONGEST else None
        if match is None:
            found.append(one)
            continue
        parts = _parts(match, pattern)
        if len(found) + len(waiting) + len(parts) > MOST_FILES:
            raise _too_many(pattern)
        waiting += [one[: match.start()] + part + one[match.end() :] for part in reversed(parts)]
    return found


def _parts(match: re.Match, pattern: str) -> list[str]:
    """What one pair of braces stands for."""
    first, last, listed = match.groups()
    if listed:
        return listed.split(",")
    if int(last) - int(first) >= MOST_FILES:
        raise _too_many(pattern)
    return [f"{k:0{len(first)}d}" for k in range(int(first), int(last) + 1)]


def _too_many(pattern: str) -> MsddError:
    return MsddError(
        f"{pattern[:200]} stands for more than {MOST_FILES:,} files; name their folder"
    )


def walk(folder: str | Path) -> Iterator[str]:
    """Names of all files below a folder, relative to it, with forward slashes, sorted.

    Links to folders are followed, as data sets often hold them, but each folder is entered once.
    Hidden files and folders are left out. MsddError names a folder that cannot be entered, and a
    link without an ending that leads nowhere: it may have been one.
    """
    root, seen, names = os.fspath(folder), {os.path.realpath(folder)}, []
    for here, folders, files in os.walk(root, followlinks=True, onerror=_refuse):
        _check_entered(here)
        folders[:] = [name for name in sorted(folders) if _is_new(os.path.join(here, name), seen)]
        shown = [os.path.join(here, name) for name in files if not name.startswith(".")]
        for path in shown:
            _check_link(path)
        names += [path.removeprefix(root).lstrip("/") for path in shown]
    yield from sorted(names)


def _is_new(folder: str, seen: set[str], hidden: bool = False) -> bool:
    real = os.path.realpath(folder)
    new = real not in seen and (hidden or not os.path.basename(folder).startswith("."))
    if new:
        seen.add(real)
    return new


def _check_entered(folder: str) -> None:
    """A folder may be listed and still hide what its entries are."""
    try:
        os.stat(os.path.join(folder, os.curdir))
    except OSError as error:
        error.filename = folder
        _refuse(error)


def _refuse(error: OSError) -> None:
    raise MsddError(f"{error.filename}: cannot enter this folder: {error.strerror}") from error


def _check_link(path: str) -> None:
    if not os.path.splitext(path)[1] and os.path.islink(path) and not os.path.exists(path):
        raise MsddError(f"{path} is a link that leads nowhere; mend or remove it")
