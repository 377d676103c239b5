"""Load and clocks of the machine, before and after timing."""

import os
import shutil
import subprocess

import psutil
import torch

QUERY = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit"


def machine(device: torch.device) -> dict[str, object]:
    """Load average of the last minute, and clock rates now where they can be read (MHz)."""
    frequency = psutil.cpu_freq()
    state = {"load_average": os.getloadavg()[0], "cpu_mhz": frequency and frequency.current}
    if device.type == "cuda":
        state |= {"cuda": torch.version.cuda, **_gpu(device)}
    return state


def _gpu(device: torch.device) -> dict[str, str]:
    """The values of `QUERY` by nvidia-smi, with units; empty if it is not installed or fails."""
    if shutil.which("nvidia-smi") is None:
        return {}
    identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader", f"--id={identity}"]
    done = subprocess.run(command, capture_output=True, text=True)
    values = done.stdout.strip().split(", ") if done.returncode == 0 else []
    return dict(zip(QUERY.split(","), values, strict=False))
