"""Digests of photographs, by which both engines see that one was changed, added or deleted."""

import csv
import hashlib
import os
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from msdd.data.image_file import is_of_file
from msdd.data.photograph import Photograph
from msdd.data.photographs import EMBEDDED_TRAIN, divided, embedded_photographs, sources
from msdd.data.remote import Remote, versions
from msdd.data.sources import Source, is_archive, photographs
from msdd.errors import MsddError
from msdd.files import digest, shown
from msdd.params.sections import Data
from msdd.pipeline import layout
from msdd.pipeline.checkout import original
from msdd.pipeline.progress import Progress

READERS = 8  # threads that read files
SETTLED = 2.0  # seconds after which a change of a file also changes its time, on any file system
WORTH = 64 * 2**20  # bytes from which on digests are kept; fewer are read faster than looked up
LONG = 4 * 10**9  # bytes of archives from which on their reading is told
MANY = 1000  # files from which on their reading is shown
UNREADABLE = "unreadable"
KEPT_EVERY = 5.0  # seconds

Row = tuple[str, str, str]  # split, name, SHA-256 or what a store says of the content


def of_photographs(data: Data, root: Path = Path(".")) -> str:
    """One digest of all photographs, with their names and their sides of the split.

    Where they cannot be listed, the digest of those that are prepared, or the reason if none are:
    results can be used without the photographs.
    """
    try:
        return of_rows(present(data, root))
    except MsddError as error:
        recorded = list(prepared(root))
        if not recorded:
            return str(error)
        print(f"msdd: {error}; using what was prepared", file=sys.stderr)
        return of_rows(recorded)


def of_rows(rows: Iterable[Row]) -> str:
    sha = hashlib.sha256()
    for row in sorted(rows):
        sha.update("\0".join((*row, "\n")).encode())
    return sha.hexdigest()


def present(data: Data, root: Path = Path(".")) -> list[Row]:
    """The photographs that are there now; raises MsddError where they cannot be listed.

    An archive stands for all that it holds, and is not opened for this. One whose photographs are
    on both sides counts as one of `train`.
    """
    found = sources(data, root)
    packed = any(one.archives for one in found.values())
    listed = unpacked(found) if packed else divided(found, data)
    there = [(side, shown(one.name), one.path) for side, some in listed.items() for one in some]
    rows = with_digests(there, root) + of_archives(found, root)
    check_readable(rows, root)
    return rows


def check_readable(rows: Iterable[Row], root: Path) -> None:
    """MsddError for a file that cannot be read now, and could be when it was prepared: where the
    store is away behind its links, what was made of it is as good as before."""
    lost = {row[:2] for row in rows if row[2] == UNREADABLE}
    known = (row[:2] for row in prepared(root) if lost and row[2] != UNREADABLE)
    if gone := sorted(lost.intersection(known)):
        more = f" and {len(gone) - 1:,} others" if len(gone) > 1 else ""
        raise MsddError(f"{gone[0][1]}{more} cannot be read, and could be when it was prepared")


def unpacked(found: dict[str, Source]) -> dict[str, list[Photograph]]:
    """The photographs of those sides that are no archives."""
    listed = {side: photographs(one) for side, one in found.items() if not one.archives}
    return listed if "train" in found else listed | {"train": embedded_photographs(EMBEDDED_TRAIN)}


def of_archives(found: dict[str, Source], root: Path = Path(".")) -> list[Row]:
    """The archives among `data.photographs` (`train`) and `data.held_out`."""
    there = [
        (side, shown(path.relative_to(source.folder).as_posix()), path)
        for side, source in found.items()
        for path in source.archives
    ]
    return with_digests(there, root)


def with_digests(there: Sequence[tuple[str, str, Path | Remote]], root: Path) -> list[Row]:
    digests = of_files([path for _, _, path in there], root)
    return [(side, name, sha256) for (side, name, _), sha256 in zip(there, digests, strict=True)]


def prepared(root: Path = Path(".")) -> Iterator[Row]:
    """The files that `data/prepared` was made from; none if it is not there."""
    path = root / layout.prepared() / "photographs.csv"
    if path.exists():
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                if not row.get("archive"):  # the archive itself has a row, too
                    yield row["split"], row["name"], row["sha256"]


def changes(data: Data, root: Path = Path(".")) -> str:
    """What has become of the photographs since they were prepared, in a few words."""
    try:
        now = {row[:2]: row[2] for row in present(data, root)}
    except MsddError as error:
        return f"gone: {error}"
    then = {row[:2]: row[2] for row in prepared(root)}
    changed = [key for key in then.keys() & now.keys() if then[key] != now[key]]
    kinds = {
        "changed": changed,
        "added": now.keys() - then.keys(),
        "gone": then.keys() - now.keys(),
    }
    told = [f"{len(keys)} {kind} ({min(keys)[1]})" for kind, keys in kinds.items() if keys]
    since = f"changed since: {', '.join(told)}" if told else "unchanged"
    return f"{of_rows(prepared(root))[:12]}  {len(then)} files, {since}"


def of_files(paths: Sequence[Path | Remote], root: Path = Path(".")) -> list[str]:
    """SHA-256 of each file, `unreadable` for one that cannot be read. Of a file in a store, what
    that says of its content (`msdd.data.remote.version_of`): it is not read for this.

    Of a large set, a file is read again when its size or one of its times has changed since. Its
    digests are kept in `.photographs.sqlite` below `root`, or nowhere if that cannot be written.
    """
    stored = [path for path in paths if isinstance(path, Remote)]
    if stored:
        told = dict(zip(stored, versions(stored), strict=True))
        local = iter(of_files([path for path in paths if path not in told], root))
        return [told[path] if path in told else next(local) for path in paths]
    states = [_state(path) for path in paths]
    if sum(int(state.split()[0]) for state in states if state) < WORTH:
        return list(_read(paths))
    place = original(root) / ".photographs.sqlite"
    try:
        with closing(_open(place)) as known:
            return _looked_up(paths, states, known)
    except sqlite3.OperationalError:  # a disk that is full or read-only costs only time
        return list(_read(paths))
    except sqlite3.DatabaseError:  # damaged: made anew by the next call
        with suppress(OSError):
            place.unlink()
        return list(_read(paths))


def _state(path: Path) -> str:
    """What changes when a file is written or replaced; the time of its inode cannot be set back."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _open(path: Path) -> sqlite3.Connection:
    known = sqlite3.connect(path, timeout=10)
    known.execute("CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, state, sha256)")
    return known


def _looked_up(
    paths: Sequence[Path], states: Sequence[str], known: sqlite3.Connection
) -> list[str]:
    keys = [os.fsencode(path.absolute()) for path in paths]
    found = [_found(known, *pair) for pair in zip(keys, states, strict=True)]
    missing = [i for i, sha256 in enumerate(found) if sha256 is None]
    now, kept = time.time_ns(), time.monotonic()
    try:
        for i, sha256 in zip(missing, _read([paths[i] for i in missing]), strict=True):
            found[i] = sha256
            if sha256 != UNREADABLE and _settled(states[i], now):
                row = keys[i], states[i], sha256
                known.execute("INSERT OR REPLACE INTO digests VALUES (?, ?, ?)", row)
            if time.monotonic() > kept + KEPT_EVERY:
                known.commit()
                kept = time.monotonic()
    finally:
        known.commit()  # hours of reading, if an error ends them
    return found


def _found(known: sqlite3.Connection, key: bytes, state: str) -> str | None:
    query = "SELECT sha256 FROM digests WHERE path = ? AND state = ?"
    row = known.execute(query, (key, state)).fetchone()
    return row and row[0]


def _settled(state: str, now: int) -> bool:
    """Whether a later change could not leave the state as it is."""
    return bool(state) and max(map(int, state.split()[1:])) < now - SETTLED * 1e9


def _read(paths: Sequence[Path]) -> Iterator[str]:
    size = sum(path.stat().st_size for path in paths if is_archive(path) and path.exists())
    if size > LONG:
        print(f"msdd: reading {size / 1e9:.0f} GB of archives for their digests", file=sys.stderr)
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(_digest, paths)
        if len(paths) < MANY:
            yield from digests
            return
        with Progress("photographs", len(paths), "files") as progress:
            for done, sha256 in enumerate(digests, 1):
                yield sha256
                progress.update(done)


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError as error:
        if not is_of_file(path, error):
            raise MsddError(f"{path}: {error.strerror}: the storage does not answer") from error
        return UNREADABLE
