"""Photographs in object storage and on web servers, read in place by fsspec's file systems."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from msdd.data.store_errors import hides_another, one_line_errors
from msdd.errors import MsddError
from msdd.listing import braces, hides, single_stars
from msdd.urls import escaped, filled_in, is_url

ASKING = 16  # requests under way at a time, where nothing but the answer is waited for
BLOCK = 16 * 1024  # bytes fetched with the header of a member of a tar file
# What stores say of the content of a file, best first: S3, Google, Azure, the Hub, web servers.
CHECKSUMS = ("md5Hash", "Content-MD5", "Digest", "ETag", "etag", "blob_id")
TIMES = ("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modify")

Item, Answer = TypeVar("Item"), TypeVar("Answer")
_SHARED: dict[tuple, Any] = {}  # file systems, by protocol and what the URL says of them


@dataclass(frozen=True, order=True)
class Remote:
    """A file or folder of a store, with what of `pathlib.Path` the reading of photographs needs.

    url:     as the params have it; `$NAME` is a variable of the environment, which holds a secret.
    size:    in bytes; -1 unless a listing has told it.
    version: what the store says of the content, see `version_of`; empty unless a listing has.
    """

    url: str
    size: int = field(default=-1, compare=False)
    version: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "Remote":
        return Remote(f"{self.base}/{escaped(quote(name) if self.is_web else name)}")

    @property
    def is_web(self) -> bool:
        """Whether names in the URL are quoted, as those of object storage are not."""
        return self.url.startswith(("http://", "https://"))

    @property
    def base(self) -> str:
        """The URL without its query, and without a slash at its end."""
        return self.url.partition("?")[0].rstrip("/")

    @property
    def stem(self) -> str:
        return PurePosixPath(self.base).stem

    @property
    def parent(self) -> "Remote":
        return Remote(self.base.rpartition("/")[0])

    @property
    def parents(self) -> list["Remote"]:
        scheme, _, rest = self.base.partition("://")
        parts = rest.split("/")
        return [Remote(f"{scheme}://{'/'.join(parts[:end])}") for end in range(len(parts))][::-1]

    def resolve(self) -> "Remote":
        return Remote(self.base)

    def relative_to(self, folder: "Remote") -> PurePosixPath:
        """The path below `folder`, without a query, as a name for an archive."""
        return PurePosixPath(self.base.removeprefix(folder.base).lstrip("/"))

    def is_file(self) -> bool:
        with one_line_errors(self.url):
            try:
                return _info(*_opened(self.url))["type"] == "file"
            except FileNotFoundError as error:
                if hides_another(error):
                    raise
                return False

    def read(self, start: int = 0, size: int | None = None) -> bytes:
        """Bytes from `start` on, fewer than `size` at the end of the file; all for None.

        Raises MsddError where the store does not answer, or sends more than it was asked for.
        """
        with one_line_errors(self.url):
            files, path = _opened(self.url)
            if size is None:
                return files.cat_file(path)
            content = files.cat_file(path, start=start, end=start + size) if size else b""
        if len(content) > size:
            raise MsddError(
                f"{self.url}: its server sends whole files in place of parts, so an archive cannot "
                "be read where it lies: copy it to a disk or to a store with range requests"
            )
        return content

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        with one_line_errors(self.url):
            size = _info(*_opened(self.url)).get("size")
        if size is None:
            raise MsddError(f"{self.url}: its server does not tell its size: copy it to a disk")
        return io.BufferedReader(_Parts(self, size), BLOCK)

    def told_version(self) -> str:
        """What the store says now of the content."""
        with one_line_errors(self.url):
            return version_of(self.url, *_opened(self.url))

    def files(self) -> dict[str, "Remote"]:
        """All files below a folder by their names in it, except hidden ones, sorted."""
        with one_line_errors(self.url):
            files, path = _opened(self.url)
            files.invalidate_cache()
            found = files.find(path, detail=True)
            root = f"{path.rstrip('/')}/"
            plain = unquote if self.is_web else str
            names = ((plain(name.removeprefix(root)), name) for name in found)
            below = ((name, path, found[path]) for name, path in sorted(names))
            shown = [one for one in below if one[0] != one[1] and _is_shown(one[0], one[2])]
            listed = ask_all(lambda one: self._listed(files, *one), shown)
        return {name: one for (name, *_), one in zip(shown, listed, strict=True)}

    def _listed(self, files: Any, name: str, path: str, info: dict) -> "Remote":
        if not _checksum(info) and not _time(info):  # links of a web page
            info = files.info(path)
        url, size = (self / name).url, info.get("size")
        return Remote(url, -1 if size is None else size, version_of(url, files, path, info))


class _Parts(io.RawIOBase):
    """A remote file as a file object that fetches no more than it is asked for."""

    def __init__(self, remote: Remote, size: int):
        self.remote, self.size, self.at = remote, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        content = self.remote.read(self.at, max(0, min(len(buffer), self.size - self.at)))
        buffer[: len(content)] = content
        self.at += len(content)
        return len(content)


def locate(place: str) -> Path | Remote:
    """A path or URL in the form that reads it."""
    return Remote(place) if is_url(place) else Path(place)


def bare(place: str | Path | Remote) -> str:
    """A path, or a URL without its query."""
    return Remote(str(place)).base if is_url(place) else str(place)


def expanded(pattern: Remote) -> list[Remote]:
    """The files that a URL with `{000..009}`, `{a,b}` or `*` stands for, sorted."""
    named = [Remote(one) for one in braces(pattern.url)]
    return sorted(
        {file for one in named for file in (_matching(one) if "*" in one.base else [one])}
    )


def _matching(pattern: Remote) -> list[Remote]:
    parts = pattern.base.split("/")
    fixed = next(place for place, part in enumerate(parts) if "*" in part)
    folder = Remote("/".join(parts[:fixed]))
    with one_line_errors(pattern.url):
        files, path = _opened(pattern.url)
        files.invalidate_cache()
        found = files.glob("/".join(map(single_stars, path.replace("[", "[[]").split("/"))))
    above = len(path.split("/")) - len(parts) + fixed  # parts of a path that stand for the folder
    names = [name.split("/")[above:] for name in found]
    return [folder / "/".join(name) for name in names if not hides(parts[fixed:], name)]


def common_folder(files: Sequence[Remote]) -> Remote:
    return Remote("/".join(os.path.commonprefix([one.parent.base.split("/") for one in files])))


def versions(paths: Sequence[Remote]) -> list[str]:
    """What the stores say of the content of files, asked now unless a listing has told it."""
    return ask_all(lambda path: path.version or path.told_version(), paths)


def ask_all(ask: Callable[[Item], Answer], items: Iterable[Item]) -> list[Answer]:
    """The answers to all items in their order, many asked for at a time."""
    pool = ThreadPoolExecutor(ASKING)
    try:
        return list(pool.map(ask, items))
    finally:
        pool.shutdown(cancel_futures=True)


def version_of(url: str, files: Any, path: str, info: dict | None = None) -> str:
    """What changes when a file is written anew: its size with a checksum, ETag or else a time."""
    info = info or _info(files, path)
    told = _checksum(info) or _time(info)
    if not told:
        try:
            told = f"modified {files.modified(path).isoformat()}"
        except (NotImplementedError, AttributeError):
            raise MsddError(
                f"{url}: its store gives neither a checksum nor the time of a change, so that one "
                "would go unseen: copy it to a disk or to another store"
            ) from None
    return f"{told} size {info.get('size')}"


def _checksum(info: dict) -> str:
    return next((f"{key} {_plain(info[key])}" for key in CHECKSUMS if info.get(key)), "")


def _time(info: dict) -> str:
    return next((f"{key} {_plain(info[key])}" for key in TIMES if info.get(key)), "")


def _plain(value: Any) -> str:
    value = value.hex() if isinstance(value, bytes | bytearray) else value
    return str(value).strip('"')


def _is_shown(name: str, info: dict) -> bool:
    """Not folders, hidden files, or the links by which a web page is sorted."""
    hidden = any(part.startswith((".", "?")) for part in name.split("/"))
    return bool(name) and info.get("type") != "directory" and not name.endswith("/") and not hidden


def is_folder(path: Remote) -> bool:
    """Whether a URL that names no archive is that of a folder.

    A web server has no folders but pages of links: asked for a file, it would send the whole.
    """
    with one_line_errors(path.url):
        files, name = _opened(path.url)
        if path.url.startswith("http") and not path.url.endswith("/"):
            return "." not in PurePosixPath(path.base).name
        return files.isdir(name)


def _info(files: Any, path: str) -> dict:
    files.invalidate_cache()
    return files.info(path)


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path in it.

    fsspec keeps a file system, with its connections, for each thread; one serves all threads where
    its calls go to one loop.
    """
    from fsspec import filesystem, get_filesystem_class

    filled = filled_in(url)
    protocol = filled.partition("://")[0]
    kind = get_filesystem_class(protocol)
    options = kind._get_kwargs_from_urls(filled)
    key = protocol, *sorted(options.items())
    files = _SHARED.get(key) or filesystem(protocol, **options)
    if files.async_impl:
        _SHARED[key] = files
    return files, kind._strip_protocol(filled)
