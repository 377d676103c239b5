"""Finds checkpoint files: a path, the folders for weights, the Hugging Face cache, or the Hub.

Does not import torch, and the Hub's client only before a request.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

from msdd.errors import MsddError
from msdd.files import expand_user

PREFIX = "hf://"
# pathlib makes one slash of two.
ADDRESS = re.compile(r"hf://?([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?")


def locate(checkpoint: str | Path, files: Sequence[str]) -> list[Path]:
    """Paths of the files that a checkpoint names; those on the Hub are fetched once.

    checkpoint: a path, or `hf://owner/repository/file`, with `@revision` behind the repository.
    files:      names of the official files. Where there are several, their folder, their
                repository or one of them names them all.

    Raises MsddError for an address of another form and for files that cannot be fetched.
    """
    if str(checkpoint).startswith("hf:/"):
        repository, revision, file = _parse(str(checkpoint))
        names = files if file is None or file in files else [file]
        if not names:
            raise MsddError(f"{checkpoint}: name the file as well: hf://owner/repository/file")
        return [fetch(repository, name, revision) for name in names]
    path = expand_user(checkpoint)
    if len(files) > 1 and (path.is_dir() or path.name in files):
        folder = path if path.is_dir() else path.parent
        return [folder / name for name in files]
    return [path]


def _parse(address: str) -> tuple[str, str | None, str | None]:
    if not (match := ADDRESS.fullmatch(address)):
        raise MsddError(f"{address}: not of the form hf://owner/repository/file")
    return match.groups()


def fetch(repository: str, file: str, revision: str | None = None) -> Path:
    """Path of a file of the Hub, which is fetched unless the Hub's cache on this machine has it.

    Raises MsddError if it cannot be fetched.
    """
    if path := cached_file(repository, file, revision):
        return path
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # it reports every attempt
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # the client and the libraries below it raise what they like
        reason = " ".join(str(error).split())[:200]
        raise MsddError(
            f"{PREFIX}{repository}/{file} cannot be fetched ({reason}); get {file} of {repository} "
            "on another machine and give its path instead"
        ) from error


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
