"""The machine that computes: which device, with what arithmetic, and its clock."""

import time
from contextlib import AbstractContextManager, nullcontext

import torch

from msdd.params import Params


def prepare_device(params: Params) -> torch.device:
    """The GPU if there is one, else the CPU with the threads of the params: they change bits."""
    torch.set_num_threads(params.cpu_threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def arithmetic(precision: str, device: torch.device) -> AbstractContextManager:
    """Context of the networks' arithmetic: `bf16` through autocast, `fp32` as it is."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def clock(device: torch.device) -> float:
    """Seconds, after everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
