"""Device, precision and clock."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from msdd.errors import MsddError


def prepare_device(cpu_threads: int) -> torch.device:
    """The GPU if there is one, else the CPU with so many threads, which change bits.

    Raises MsddError if the job was given a GPU (MSDD_GPUS, set by the pipeline's rules) that torch
    does not find: a training of a week must not land on a CPU without a word.
    """
    torch.set_num_threads(cpu_threads)
    if torch.cuda.is_available():
        return torch.device("cuda")
    given = os.environ.get("MSDD_GPUS", "0")
    if given != "0":
        raise MsddError(
            f"this job was given gpu={given} and torch {torch.__version__} finds no GPU on "
            f"{socket.gethostname()} ({why_none()}); `snakemake --resources gpu=0` computes on CPUs"
        )
    return torch.device("cpu")


def why_none() -> str:
    """What hides the GPUs from torch, as far as can be told."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch.backends.cuda.is_built():
        return "a build for CPUs"
    if not os.path.exists("/dev/nvidiactl") and not torch.version.hip:
        return "no driver: /dev/nvidiactl is missing"
    return f"CUDA_VISIBLE_DEVICES={visible}" if visible is not None else "see nvidia-smi"


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
