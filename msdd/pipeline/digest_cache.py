"""Digests of code that an earlier process computed, kept beside Python's compiled files.

Parsing all of the package takes longer than starting Python. The file lies in the package's
`__pycache__` and holds only while no file of the package changes.
"""

import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from msdd.files import write_json

DATA = (".yaml", ".html", ".css", ".js")  # what a module reads of itself


def remember(module: str, package: Path, compute: Callable[[], str]) -> str:
    """The digest of `module`, computed only where no process has computed it of the same files.

    Where nothing can be written, or Python is told to write no compiled files, nothing is kept.
    """
    contents = contents_digest(package)
    place = Path(importlib.util.cache_from_source(str(package / "digests.py"))).with_suffix(".json")
    digests = kept(place, contents)
    if module not in digests:
        digests[module] = compute()
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                write_json(place, {"contents": contents, "digests": digests})
    return digests[module]


def kept(place: Path, contents: str) -> dict[str, str]:
    """Digests by module, of files with these contents; none from a missing or damaged file."""
    try:
        found = json.loads(place.read_bytes())
        return dict(found["digests"]) if found["contents"] == contents else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def contents_digest(package: Path) -> str:
    """Of the names and contents of all files, and of Python's version, which parses them."""
    total = hashlib.sha256(sys.version.encode())
    for path in files_of(package):
        content = path.read_bytes()
        total.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    return total.hexdigest()


def files_of(package: Path) -> Iterator[Path]:
    for folder, below, names in os.walk(package):
        below[:] = sorted(name for name in below if name != "__pycache__")
        yield from (Path(folder, name) for name in sorted(names) if name.endswith((".py", *DATA)))
