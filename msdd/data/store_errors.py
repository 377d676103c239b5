"""What goes wrong when a store is asked, in one line that holds no secret."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from msdd.errors import MsddError
from msdd.urls import variables, without_secrets

QUERY = re.compile(r"\?[^\s'\")]+")


@contextmanager
def one_line_errors(url: str) -> Iterator[None]:
    """A block that asks a store: whatever is wrong with the answer becomes one line."""
    try:
        yield
    except (MsddError, MemoryError):
        raise
    except Exception as error:
        raise MsddError(f"{url}{_told(error, url)}") from None


def _told(error: Exception, url: str) -> str:
    causes = list(_causes(error))
    names = {type(one).__name__ for one in causes}
    statuses = {getattr(one, "status", None) for one in causes}
    said = f" ({_reason(causes[-1], url)})"
    protocol = url.partition("://")[0]
    if isinstance(error, ImportError):
        return f": {protocol}:// needs a package that is missing here: {_first_line(error)}"
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return (
            f": {protocol}:// is unknown to fsspec, which reads s3://, gs://, az://, https:// ..."
        )
    if "PermissionError" in names or statuses & {401, 403} or any("Credential" in n for n in names):
        return (
            f": access was denied{said}: give credentials where the tools of that store look for "
            "them, such as AWS_ACCESS_KEY_ID in the environment (docs/imagenet.md)"
        )
    if 404 in statuses or isinstance(causes[-1], FileNotFoundError):
        return ": is not there; correct data.photographs or data.held_out"
    return (
        f": the store does not answer as it should{said}: look at the "
        "network and the address, then run the same command again, which goes on"
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it was raised for."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def hides_another(error: FileNotFoundError) -> bool:
    """fsspec's HTTP file system says of whatever goes wrong that there is no such file."""
    return any(
        not isinstance(one, FileNotFoundError) and getattr(one, "status", 0) != 404
        for one in list(_causes(error))[1:]
        if type(one).__module__.startswith(("aiohttp", "asyncio")) or isinstance(one, TimeoutError)
    )


def _reason(error: BaseException, url: str) -> str:
    """What a library says, without what may hold a secret: a URL as it was opened or redirected."""
    if isinstance(status := getattr(error, "status", None), int):
        return f"HTTP {status}"
    return type(error).__name__ if variables(url) else QUERY.sub("?...", _first_line(error))


def _first_line(error: BaseException) -> str:
    return (without_secrets(" ".join(str(error).split())) or type(error).__name__)[:200]
