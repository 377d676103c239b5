"""Device, precision and clock."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from msdd.errors import MsddError


def prepare_device(cpu_threads: int) -> torch.device:
    """As `default_device`; on a CPU with so many threads, which change bits."""
    torch.set_num_threads(cpu_threads)
    return default_device()


def default_device() -> torch.device:
    """The GPU if there is one, else the CPU; under torchrun the GPU of the process's number.

    MSDD_DEVICE in the environment may say `cpu` or `cuda`; MsddError where torch sees no GPU then.
    """
    asked = chosen()
    if asked == "cuda" and not torch.cuda.is_available():
        raise MsddError("MSDD_DEVICE=cuda, but torch sees no GPU here; `nvidia-smi` may say why")
    if asked == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if "LOCAL_RANK" not in os.environ:
        return torch.device("cuda")
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def chosen() -> str:
    """What MSDD_DEVICE says: `cpu`, `cuda`, or nothing. MsddError for anything else."""
    asked = os.environ.get("MSDD_DEVICE", "")
    if asked not in ("", "cpu", "cuda"):
        raise MsddError(f"MSDD_DEVICE is {asked}; it may be cpu or cuda")
    return asked


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager:
    """Context of the networks' arithmetic: `bf16` through autocast, `fp32` as it is."""
    if precision == "fp32":
        return nullcontext()
    check_bf16(device)
    return torch.autocast(device.type, torch.bfloat16)


def check_bf16(device: torch.device) -> None:
    """Raises MsddError where bf16 does not compute."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise MsddError(f"precision bf16: {torch.cuda.get_device_name(device)} lacks it; set fp32")
    if device.type == "cpu" and not cpu_survives_bf16():
        raise MsddError(
            "precision bf16: this processor announces bf16 instructions that this machine forbids; "
            "set precision to fp32, or ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 in the environment"
        )


@cache
def cpu_survives_bf16() -> bool:
    """Whether a product in bf16 ends the process.

    Some virtual machines announce the processor's AMX unit and forbid its use; only trying tells.
    """
    trial = "import torch; a = torch.ones(64, 64).bfloat16(); a @ a"
    return subprocess.run([sys.executable, "-c", trial], stderr=subprocess.DEVNULL).returncode >= 0


def clock(device: torch.device) -> float:
    """Seconds, after everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(call: Callable[[], object], device: torch.device, calls: int = 1) -> float:
    """Seconds for one of `calls` calls in a row, without a pause between them."""
    started = clock(device)
    for _ in range(calls):
        call()
    return (clock(device) - started) / calls
