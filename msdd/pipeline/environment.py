"""Code version, package versions, machine and time of this process."""

import os
import platform
import socket
import subprocess
import sys
from datetime import datetime
from importlib import metadata
from pathlib import Path

from msdd.urls import without_secrets
from msdd.version import __version__


def context() -> dict:
    """The circumstances of this process, ready for JSON.

    `commit` and `dirty` are those of the package's own checkout, None without one. `device` is the
    GPU if torch is imported and sees one, else the processor. Never imports torch by itself.
    """
    return {
        "commit": commit(),
        "dirty": dirty(),
        "versions": versions(),
        "device": gpu() or cpu(),
        "cpu": cpu(),
        "host": socket.gethostname(),
        "threads": threads(),
        "engine": engine(),
        "command": [without_secrets(one) for one in sys.argv[1:]],
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def engine() -> str:
    """Who runs this command: snakemake, dvc, or nobody but the command line."""
    if "DVC_STAGE" in os.environ:
        return "dvc"
    return os.environ.get("MSDD_ENGINE", "command line")


def rule(stage: str) -> str | None:
    """The job by the engine's name of it: the stage of DVC with its row, or the rule of Snakemake,
    which has the stage's name."""
    return {"dvc": os.environ.get("DVC_STAGE"), "snakemake": stage}.get(engine())


def commit() -> str | None:
    """The git commit of the package's checkout; None of an installed package.

    An environment often lies in a repository of somebody else, which does not track it.
    """
    return _git("rev-parse", "HEAD") if _is_tracked() else None


def dirty() -> bool | None:
    """Whether tracked files of the checkout differ from the commit."""
    status = _git("status", "--porcelain", "--untracked-files=no") if _is_tracked() else None
    return None if status is None else bool(status)


def _is_tracked() -> bool:
    return bool(_git("ls-files", Path(__file__).name))


def _git(*arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str | None]:
    """Versions of what computes, read from the installed packages without importing them."""
    packages = {name: _version(name) for name in ("torch", "numpy")}
    return {"python": platform.python_version(), "msdd": __version__, **packages}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def gpu(device: object = None) -> str | None:
    """The name of the current GPU, if torch is imported, sees one and is to use it; or of another
    device of torch, None if that is no GPU of NVIDIA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    kind = getattr(device, "type", "cpu" if os.environ.get("MSDD_DEVICE") == "cpu" else "cuda")
    return torch.cuda.get_device_name(device) if kind == "cuda" else None


def cpu() -> str:
    """The model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def threads() -> int:
    """The threads of torch, those that the command line has set, or the cores there are."""
    torch = sys.modules.get("torch")
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return torch.get_num_threads() if torch else int(chosen) if chosen.isdigit() else cores()


def cores() -> int:
    """Of the processor, as many as this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load() -> dict[str, float]:
    """The load of the machine now, under the names that MLflow's page of system metrics knows."""
    import psutil

    memory = psutil.virtual_memory()
    figures = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / 1e6,
    }
    if gpu():
        import torch

        free, total = torch.cuda.mem_get_info()
        figures["system/gpu_0_memory_usage_megabytes"] = (total - free) / 1e6
        figures["system/gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
    return figures
