"""Finds checkpoint files: a path, the folders for weights, the Hugging Face cache, or the Hub.

Does not import torch, and the Hub's client only before a request.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from platformdirs import user_cache_path

from msdd.errors import MsddError
from msdd.files import expand_user, shown
from msdd.urls import without_secrets

PREFIX = "hf://"
PATIENCE = 5  # seconds for an answer of the Hub
WAITS = (1, 3)  # seconds before it is asked again, where it is too busy to answer
# pathlib makes one slash of two.
ADDRESS = re.compile(r"hf://?([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")
ID = re.compile(r"(?!.*(?:--|\.\.))(?:(?:^|/)\w(?:[\w.-]*\w)?){2}", re.ASCII)  # as the Hub has them


def locate(checkpoint: str | Path, files: Sequence[str]) -> list[Path]:
    """Paths of the files that a checkpoint names; those on the Hub are fetched once.

    checkpoint: a path, or `hf://owner/repository/file`, with `@revision` behind the repository.
    files:      names of the official files. Their folder and their repository name them all; so
                does one of several.

    Raises MsddError for an address of another form and for files that cannot be fetched.
    """
    if str(checkpoint).startswith("hf:/"):
        repository, revision, file = parse(str(checkpoint), "file")
        names = files if file is None or file in files else [file]
        if not names:
            raise MsddError(f"{checkpoint}: name the file as well: hf://owner/repository/file")
        return [fetch(repository, name, revision) for name in names]
    path = expand_user(checkpoint)
    if len(files) == 1 and (path / files[0]).is_file():
        return [path / files[0]]
    if len(files) > 1 and (path.is_dir() or path.name in files):
        folder = path if path.is_dir() else path.parent
        return [folder / name for name in files]
    return [path]


def parse(address: str, last: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and path of an address; MsddError for one of another form, and for a
    path that leaves the repository. `last` is what the path names."""
    match = ADDRESS.fullmatch(address)
    repository, revision, path = match.groups() if match else ("", None, None)
    parts = [revision or "-", *(path or "-").strip("/").split("/")]
    named = len(repository) <= 96 and ID.fullmatch(repository)
    if not named or any(not part.isprintable() or part in ("", ".", "..") for part in parts):
        raise MsddError(f"{shown(address)}: not of the form hf://owner/repository/{last}")
    return repository, revision, path


def fetch(repository: str, file: str, revision: str | None = None) -> Path:
    """Path of a file of the Hub, which is fetched unless the Hub's cache on this machine has it.

    Says on stderr what it fetches and waits for, before the first attempt. Raises MsddError if it
    cannot be fetched; without a network after PATIENCE seconds.
    """
    if path := cached_file(repository, file, revision):
        return path
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it reports every attempt
    named = f"{PREFIX}{repository}/{file}"
    try:
        if not constants.is_offline_mode():
            tell(
                f"{named}: waiting for {urlsplit(constants.ENDPOINT).hostname}, a few "
                "seconds at most; then the file is fetched (HF_HUB_OFFLINE=1: nothing is)"
            )
            # The download below tries five times and is silent for 23 s where there is no network.
            url = hf_hub_url(repository, file, revision=revision)
            ask_patiently(lambda: get_hf_file_metadata(url, timeout=PATIENCE), named)
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # the client and the libraries below it raise what they like
        offline = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else ""
        reason = offline or reason_of(error)
        raise MsddError(
            f"{named} cannot be fetched ({reason}); get {file} of {repository} on another machine "
            "and give its path instead: --checkpoint FILE, in Python checkpoint=FILE"
        ) from error


def ask_patiently(ask: Callable[[], object], named: str) -> None:
    """Ask, and again after each of WAITS where the Hub is too busy; says so."""
    for wait in WAITS:
        try:
            ask()
        except Exception as error:
            if not is_busy(error):
                raise
            tell(f"{named}: {reason_of(error)}; asking again in {wait} s")
            time.sleep(wait)
        else:
            return
    ask()


def is_busy(error: Exception) -> bool:
    """Whether the same question may be answered soon: a fault of a server, too many requests, or no
    answer in time. Where there is no network, nothing changes in seconds.

    The libraries below the Hub's client change (requests, httpx, httpx2); the name of a timeout
    does not.
    """
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status >= 500 or status == 429 or type(error).__name__ == "ReadTimeout"


def reason_of(error: Exception) -> str:
    return without_secrets(" ".join(str(error).split()))[:200] or type(error).__name__


def tell(line: str) -> None:
    print(f"msdd: {line}", file=sys.stderr, flush=True)


def cached_file(repository: str, file: str, revision: str | None = None) -> Path | None:
    """Path of the file in the cache of the Hub's client; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, file, revision=revision)
    return Path(path) if isinstance(path, str) else None


def find_local(name: str, repository: str, files: Sequence[str]) -> list[Path] | None:
    """Paths of the files of a system that are on this machine; None unless all are.

    Looks in `<folder>/<name>/`, with MSDD_WEIGHTS or the cache of msdd as the folder, then in the
    cache of the Hub.
    """
    for folder in folders():
        paths = [folder / name / file for file in files]
        if files and all(path.is_file() for path in paths):
            return paths
    paths = [cached_file(repository, file) for file in files]
    return paths if paths and all(paths) else None


def folders() -> list[Path]:
    """Where weights are put by hand: MSDD_WEIGHTS, if it is set, and the cache of msdd."""
    given = os.environ.get("MSDD_WEIGHTS")
    return [*([expand_user(given)] if given else []), user_cache_path("msdd") / "weights"]
