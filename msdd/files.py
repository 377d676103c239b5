"""Files appear whole or not at all."""

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msdd.errors import MsddError

SURROGATE = re.compile(r"\\udc[89a-f]", re.IGNORECASE)
CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}  # folders, on some network file systems
HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the others are bytes of file names
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # also what ends a line for Unicode


def expand_user(path: str | Path, root: str | Path = ".") -> Path:
    """The path, below `root` if it is relative; `~` and `~somebody` at its start are home folders.

    A shell expands them, but not in a params file, a variable or `--images=~/crops`.
    """
    return Path(root, os.path.expanduser(path))


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it into place at the end, remove it on error.

    What has been renamed is on the disk, also after a power cut. The block may create a file or a
    folder there. A folder replaces an existing one as a whole. Whatever `path` is called, the
    temporary name is short; errors name `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    remove(temporary)
    try:
        yield temporary
        settle(temporary)
        if temporary.is_dir():
            remove(path)  # a rename cannot replace a folder that has content
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # "no space left" does not say where
            error.filename = str(path)
        raise
    finally:
        remove(temporary)


@contextmanager
def atomic_with_siblings(path: str | Path) -> Iterator[Path]:
    """Yield a file called like `path` in a temporary folder; put it, and what was written beside
    it, where `path` lies at the end, or remove all of it on error.

    For formats in which one file names another. An old `path` goes first and the new one comes
    last, so that it never stands beside files that are not its own.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = temporary_sibling(path)
    remove(folder)
    folder.mkdir()
    try:
        yield folder / path.name
        beside = [file for file in folder.iterdir() if file.name != path.name]
        if beside:
            path.unlink(missing_ok=True)
        settle(folder)
        for file in [*beside, folder / path.name]:
            os.replace(file, path.with_name(file.name))
            sync(path.parent)
    finally:
        remove(folder)


def settle(path: Path) -> None:
    """Force a file, or a folder with all it holds, to the disk: a file system may keep a rename and
    lose what was renamed."""
    for folder, _, names in os.walk(path):
        for name in names:
            sync(Path(folder, name))
        sync(Path(folder))
    if path.is_file():
        sync(path)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to the disk, if the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def temporary_sibling(path: Path, process: int | str | None = None) -> Path:
    """A hidden name beside `path`, of this process alone.

    It has a digest of the name, which may have all the 255 bytes that a file system allows.
    """
    name = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()
    return path.with_name(f".{name}.{process or os.getpid()}.tmp")


def remove_unfinished(path: Path) -> None:
    """Delete what killed processes were writing of `path`, at which no other process may be."""
    for unfinished in path.parent.glob(temporary_sibling(path, "*").name):
        remove(unfinished)


@contextmanager
def unwritten(consequence: str, *more: type[Exception]) -> Iterator[None]:
    """A block that writes what no result depends on: where it cannot, one line says so.

    more: what a writer raises beside OSError
    """
    try:
        yield
    except (OSError, *more) as error:
        where = reason(error) if getattr(error, "filename", "") else error
        print(f"msdd: warning: {consequence} ({where})", file=sys.stderr)


def reason(error: OSError) -> str:
    """The file that an error names, and what it says. Some writers give no number of an error, but
    only tell how many bytes were taken of how many."""
    said = error.strerror or f"{' '.join(map(str, error.args))}: is the disk full?"
    return f"{error.filename}: {said}"


def check_place(path: Path, option: str) -> None:
    """MsddError naming the option unless a file could be written at `path`, whose folders need not
    be there yet. Leaves nothing behind. To be told before an hour of work, not after it."""
    try:
        if _in_system(path) or path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no file that can be replaced"
            raise MsddError(f"{option} {path} is {what}; name a file")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MsddError(f"{option} {path} cannot be written: {error.strerror}") from error


def check_no_input(path: Path, option: str, inputs: Iterable[tuple[str, Path]]) -> None:
    """MsddError naming both options if a file written at `path` would replace an input of the same
    command: that very file, or one in a folder, but for earlier results, which end alike.

    inputs: options, each with the file or folder that it names.
    """
    for other, given in inputs:
        if path.resolve() == given.resolve() or (given.is_file() and _is_same(path, given)):
            raise MsddError(f"{option} {path} would replace {other} {given}; name another file")
        inside = given.is_dir() and path.resolve().is_relative_to(given.resolve())
        result = path.suffix in (".json", ".npz") and path.name != "config.json"
        if inside and path.exists() and not result:
            raise MsddError(
                f"{option} {path} would replace a file of {other} {given}; name another"
            )


def _is_same(path: Path, given: Path) -> bool:
    return path.exists() and os.path.samefile(path, given)


def _in_system(path: Path) -> bool:
    """Such as /dev/stdout, a link that a file renamed into place would replace for everybody."""
    folder = path.absolute().parent.resolve()
    return folder == Path("/dev") or Path("/proc") in (folder, *folder.parents)


def remove(path: Path) -> None:
    """Delete a file or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def holds(path: Path, text: str) -> bool:
    """Whether a file is there and has exactly this text; a damaged one may be no text at all."""
    whole = text.encode()
    return path.is_file() and path.stat().st_size == len(whole) and path.read_bytes() == whole


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as reproducible bytes: sorted keys, and no NaN, which JSON does not have.

    Bytes of file names that are not UTF-8 stand in it as `\\xNN`, as in `text_of`.
    """
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """What `write_json` writes."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False)
    if SURROGATE.search(text):  # no pair of them: halves alone are refused by most readers
        plain = _without_bytes(json.loads(text))
        text = json.dumps(plain, indent=2, sort_keys=True, allow_nan=False)
    return text + "\n"


def _without_bytes(value: object) -> object:
    if isinstance(value, dict):
        return {text_of(key): _without_bytes(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_bytes(item) for item in value]
    return text_of(value) if isinstance(value, str) else value


def text_of(name: str) -> str:
    """A file's name as Unicode: what is not UTF-8 in it as `\\xNN`, byte by byte.

    The same under an ASCII locale, where Python takes all other bytes for such. Half of a surrogate
    pair, which no file name has and JSON can hold, is written as JSON escapes it.
    """
    name = HALF.sub(lambda found: f"\\u{ord(found[0]):04x}", name)
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(name: str) -> str:
    """A file's name in one line: `text_of`, with control characters as JSON escapes them.

    They are line breaks and whatever else a terminal or a reader of tables would follow.
    """
    return CONTROL.sub(lambda found: _escape(found[0]), text_of(name))


def _escape(character: str) -> str:
    short = json.dumps(character)[1:-1]
    return short if len(short) > 1 else f"\\u{ord(character):04x}"


def read_json(path: str | Path) -> dict:
    """What a file of JSON holds. MsddError that names the file if it is damaged."""
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise MsddError(
            f"{path}: cannot be read as JSON ({error}); make or fetch it again"
        ) from error


def digest(path: str | Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path) -> tuple[int, ...]:
    """What differs once a file was written anew or replaced, by a copy with the old time as well:
    its number, its size and the times of its last changes. Not to be kept: copies differ, too."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
