"""The state of the machine around a measurement."""

import os
import shutil
import subprocess

import psutil
import torch

QUERY = "driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.limit"


def machine(device: torch.device) -> dict[str, object]:
    """Load average of the last minute, and clocks now, where they can be read."""
    frequency = psutil.cpu_freq()
    found = {"load_average": os.getloadavg()[0], "cpu_mhz": frequency and frequency.current}
    if device.type == "cuda":
        found |= {"cuda": torch.version.cuda, **_gpu(device)}
    return found


def _gpu(device: torch.device) -> dict[str, str]:
    """What nvidia-smi tells, with its units; nothing where it is not installed or fails."""
    if shutil.which("nvidia-smi") is None:
        return {}
    identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader", f"--id={identity}"]
    told = subprocess.run(command, capture_output=True, text=True)
    values = told.stdout.strip().split(", ") if told.returncode == 0 else []
    return dict(zip(QUERY.split(","), values, strict=False))
