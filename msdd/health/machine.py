"""The device, the packages and the disk."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import torch

from msdd.device import cpu_survives_bf16, default_device
from msdd.errors import MsddError
from msdd.health.finding import Finding, absent
from msdd.params.schema import Params
from msdd.pipeline import environment
from msdd.speed import estimate
from msdd.speed.all_work import all_work

PIPELINE = ("snakemake", "dvc", "mlflow")
GB = 1e9
FOLDERS = ("data", "runs", "checkpoints")  # what takes the space
# What is installed on demand: name of the finding, packages, and what they are for.
OPTIONAL = {
    "onnxruntime": (("onnxruntime", "onnx", "onnxscript"), "decoding on a processor by it"),
    "openvino": (("openvino", "nncf", "onnx", "onnxscript"), "decoding on a processor by it"),
    "export": (("onnx", "onnxscript"), "`msdd export FILE.onnx`"),
    "dino": (("timm",), "DINO features: discriminator dino, stage1.repa"),
    "dreamsim": (("dreamsim",), "the metric DreamSim"),
    "text": (("rapidocr-onnxruntime",), "the metrics of text"),
    "faces": (("dlib-bin", "face_recognition_models"), "the metrics of faces"),
    "s3": (("s3fs",), "photographs at s3://"),
    "http": (("aiohttp",), "photographs at http:// and https://"),
}

MODULES = {
    "dlib-bin": "dlib",
    "rapidocr-onnxruntime": "rapidocr_onnxruntime",
}  # of packages whose module has another name


def device() -> Iterator[Finding]:
    """What computes here, and in which precisions."""
    try:
        chosen = default_device()
    except MsddError as error:
        yield Finding("device", "missing", str(error), "unset MSDD_DEVICE, or mend the driver")
        return
    if chosen.type == "cpu":
        name, bf16 = f"{environment.cpu()}, {environment.threads()} threads", cpu_survives_bf16()
    else:
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        name, bf16 = ", ".join(names), torch.cuda.is_bf16_supported(False)
    told = f"{name}; fp32{' and bf16' if bf16 else ' only'}"
    yield Finding("device", "ok" if bf16 else "warn", told, "" if bf16 else "set precision: fp32")


def python() -> Iterator[Finding]:
    """Versions of what computes, and of what runs the pipeline."""
    versions = environment.versions() | {"torchvision": version("torchvision")}
    commit = environment.commit()
    versions["msdd"] = f"{versions['msdd'] or 'not installed'}" + (
        f" at {commit[:12]}" if commit else ""
    )
    yield Finding("python", "ok", ", ".join(f"{n} {v}" for n, v in versions.items()))
    for name in PIPELINE:
        if found := version(name):
            yield Finding(name, "ok", found)
        else:
            cure = f"pip install {name}"
            yield Finding(name, "warn", "not installed: only the whole pipeline needs it", cure)


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def optional(needed: set[str]) -> Iterator[Finding]:
    """Packages that few need, of which `needed` names those of the params."""
    for name, (packages, purpose) in OPTIONAL.items():
        lacking = [
            one for one in packages if importlib.util.find_spec(MODULES.get(one, one)) is None
        ]
        if lacking:
            told = f"{', '.join(lacking)} not installed; for {purpose}"
            yield absent(name, name in needed, told, f"pip install {' '.join(lacking)}")
        else:
            here = (f"{one} {version(one) or 'of unknown version'}" for one in packages)
            yield Finding(name, "ok", ", ".join(here))


def disk(params: Params | None, root: Path) -> Finding:
    """Free space against what the params would write, also where folders are links elsewhere."""
    places = [root, *(root / name for name in FOLDERS if (root / name).is_dir())]
    free = sum({place.stat().st_dev: shutil.disk_usage(place).free for place in places}.values())
    told = f"{free / GB:,.1f} GB free"
    if not os.access(root, os.W_OK):
        return Finding(
            "disk", "missing", f"nothing can be written to {root.absolute()}", "chmod it"
        )
    try:
        work = all_work(params, None) if params else []
    except MsddError:  # how many photographs there are is not in the params
        return Finding("disk", "ok", told, "`msdd estimate --photographs` says what is needed")
    needed = sum(estimate.disk(work, 1))
    told += f", {needed / GB:,.1f} GB needed by these params" if params else ""
    if needed < free:
        return Finding("disk", "ok", told)
    return Finding("disk", "missing", told, "free some, or run it on another disk")
