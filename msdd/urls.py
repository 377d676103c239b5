"""URLs in params: what of them is secret, and stands in the environment instead.

A params file is written down in many places: in Git, dvc.lock, the manifest, records and MLflow.
"""

import os
import re
from urllib.parse import quote, unquote, urlsplit

from msdd.errors import MsddError

URL = re.compile(r"([a-z0-9+.-]+::)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Scheme, what stands before an @, host and path; a query and a fragment end it and are not shown.
SECRETS = re.compile(
    r"([a-z][a-z0-9+.-]*://)(?:([^\s/?#'\"<>]*)@)?([^\s?#'\"<>@;,)]*)(?:\?[^\s'\"<>;,)]*)?",
    re.IGNORECASE,
)
CALLED = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|(API|ACCESS)_?KEY|CREDENTIAL", re.IGNORECASE)
SHORTEST = 6  # characters of a secret that is looked for in texts
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


def shown(url: str) -> str:
    """The URL as it may be written down: without user, password, query and fragment."""
    return SECRETS.sub(lambda found: f"{found[1]}{'***@' if found[2] else ''}{found[3]}", url)


def without_secrets(text: str) -> str:
    """A text of a library, as it may be printed: its URLs as `shown`, and `***` for what the
    environment holds in variables that are called like secrets."""
    text = SECRETS.sub(lambda found: shown(found[0]), text)
    for secret in sorted(_of_environment(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _of_environment() -> set[str]:
    """Values of variables for secrets, and passwords in URLs of any; as they are, and quoted."""
    found = {value for name, value in os.environ.items() if CALLED.search(name)}
    for value in os.environ.values():
        found |= {one[2].partition(":")[2] for one in SECRETS.finditer(value) if one[2]}
    plain = {part for one in found for part in (one, unquote(one), quote(one, safe=""))}
    return {one for one in plain if len(one) >= SHORTEST and not is_url(one)}


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
