"""Files appear whole or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def expand_user(path: str | Path, root: str | Path = ".") -> Path:
    """The path, below `root` if it is relative; `~` and `~somebody` at its start are home folders.

    A shell expands them, but not in a params file, a variable or `--images=~/crops`.
    """
    return Path(root, os.path.expanduser(path))


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it into place at the end, remove it on error.

    The block may create a file or a folder there. A folder replaces an existing one as a whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)  # a rename cannot replace a folder that has content
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # "no space left" does not say where
        raise
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Delete a file or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as reproducible bytes: sorted keys, and no NaN, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: str | Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
