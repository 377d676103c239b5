"""URLs in params: which parts are secret and come from the environment instead.

A params file is written down in many places: in Git, dvc.lock, the manifest, records and MLflow.
"""

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote, urlsplit

from msdd.errors import MsddError

URL = re.compile(r"([a-z0-9+.-]+::)*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Scheme, what stands before an @, host and path; a query and a fragment end it and are not shown.
# Paths have lost a slash of `//`; SQLAlchemy reads passwords in which any character but @ stands.
SECRETS = re.compile(
    r"([a-z][a-z0-9+.-]+:/{1,2})"
    r"(?:([^\s/?#'\"<>]*|[^\s:/?#'\"<>]*:(?!\d{1,5}[/?#])[^\s@'\"<>]*)@)?"
    r"([^\s?#'\"<>@;,)]*)(?:[?#](?:[^\s'\"<>;,)]|[;,](?=\S))*)?",
    re.IGNORECASE,
)
CALLED = re.compile(
    r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|SIGNATURE|CONNECTION_STRING|(API|ACCESS|ACCOUNT)_?KEY"
    r"|(?:^|_)(KEY|PASS|SAS|PAT)(?:_|$)|_PWD$",
    re.IGNORECASE,
)
AUTHORIZED = re.compile(r"\b(Basic|Bearer) +(?=\S*[A-Z0-9])[\w.~+/-]{8,}=*")  # sent back
_opened: set[str] = set()  # variables in URLs that were opened: secrets, whatever they are called
SHORTEST = 6  # characters of a secret that is looked for in texts
NAMED = re.compile(r"\$(?:(\w+)|\{(\w+)\})|\$\$")  # a variable of the environment, or a dollar


def is_url(value: object) -> bool:
    return bool(URL.match(str(value)))


def has_secret(url: str) -> bool:
    """Whether a password or a query is written out, in which signatures stand; `$NAME` is none."""
    parts = urlsplit(plain := NAMED.sub("", url))
    user, colon, password = _before_host(plain).partition(":")
    token = user if parts.scheme in ("http", "https") and not colon else ""
    values = (part.partition("=")[2] if "=" in part else part for part in parts.query.split("&"))
    return bool(password or token or any(values))


def _before_host(url: str) -> str:
    """User and password, as written in a URL."""
    found = SECRETS.search(url)
    return (found and found[2]) or ""


def shown(url: str) -> str:
    """The URL as it may be written down: without user, password, query and fragment."""
    return SECRETS.sub(lambda found: f"{found[1]}{'***@' if found[2] else ''}{found[3]}", url)


def without_secrets(text: str) -> str:
    """A text of a library, as it may be printed: its URLs as `shown`, and `***` for what the
    environment holds in variables that are called like secrets or stand in URLs of params."""
    text = AUTHORIZED.sub(r"\1 ***", shown(text))
    for secret in sorted(_of_environment(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _of_environment() -> set[str]:
    """Values of variables for secrets, and what is secret in URLs of any; as it is, and quoted."""
    named = {name: value for name, value in os.environ.items() if CALLED.search(name)}
    named |= {name: os.environ[name] for name in _opened if name in os.environ}
    found = set(named.values())
    for value in named.values():  # `AccountName=a;AccountKey=b`
        pairs = (part.partition("=") for part in value.split(";"))
        found |= {part for name, _, part in pairs if CALLED.search(name)}
    found |= {part for value in os.environ.values() for part in _of_urls(value)}
    plain = {part for one in found for part in (one, unquote(one), quote(one, safe=""))}
    return {one for one in plain if len(one) >= SHORTEST and not is_url(one)}


def _of_urls(text: str) -> Iterator[str]:
    """Passwords, tokens and values of queries in the URLs of a text."""
    for found in SECRETS.finditer(text):
        user, colon, password = (found[2] or "").partition(":")
        yield password if colon else user
        for pair in urlsplit(found[0]).query.split("&"):
            yield pair.partition("=")[2]


def variables(url: str) -> list[str]:
    """The variables in a URL."""
    return [one or other for one, other in NAMED.findall(url) if one or other]


def filled_in(url: str) -> str:
    """The URL with the values of its variables, to be opened and never shown."""
    for name in variables(url):
        _opened.add(name)
        if name not in os.environ:
            raise MsddError(f"{url}: the environment has no variable {name}: set it")
    return NAMED.sub(lambda match: os.environ.get(match[1] or match[2] or "", "$"), url)


def escaped(name: str) -> str:
    """The name of a file as a part of a URL, where a dollar would begin a variable."""
    return name.replace("$", "$$")
