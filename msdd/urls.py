"""URLs in params: what of them is secret, and stands in the environment instead.

A params file is written down in many places: in Git, dvc.lock, the manifest, records and MLflow.
"""

import os
import re
from urllib.parse import urlsplit

from msdd.errors import MsddError

URL = re.compile(r"([a-z0-9+.-]+::)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
NAMED = re.compile(r"\$(?:(\w+)|\{(\w+)\})|\$\$")  # a variable of the environment, or a dollar


def is_url(value: object) -> bool:
    return bool(URL.match(str(value)))


def has_secret(url: str) -> bool:
    """Whether a password or a query is written out, in which signatures stand; `$NAME` is none."""
    parts = urlsplit(NAMED.sub("", url))
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    token = user if parts.scheme in ("http", "https") and not colon else ""
    values = (part.partition("=")[2] if "=" in part else part for part in parts.query.split("&"))
    return bool(password or token or any(values))


def variables(url: str) -> list[str]:
    """The variables in a URL."""
    return [one or other for one, other in NAMED.findall(url) if one or other]


def filled_in(url: str) -> str:
    """The URL with the values of its variables, to be opened and never shown."""
    for name in variables(url):
        if name not in os.environ:
            raise MsddError(f"{url}: the environment has no variable {name}: set it")
    return NAMED.sub(lambda match: os.environ.get(match[1] or match[2] or "", "$"), url)


def escaped(name: str) -> str:
    """The name of a file as a part of a URL, where a dollar would begin a variable."""
    return name.replace("$", "$$")
