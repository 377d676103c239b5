"""A GPU of this host for each job: counted without torch, leased by file locks.

Snakemake and DVC count GPUs but do not say which one a job has. A job takes the lock of a GPU and
keeps it as long as its process lives, and sees no other GPU.
"""

import os
import re
import sys
import tempfile
import time
from itertools import takewhile
from pathlib import Path

from msdd.errors import MsddError
from msdd.pipeline import lock

DEVICES = Path("/dev")
LISTED = "CUDA_VISIBLE_DEVICES"
# What sets one of these lets a job see only its own GPUs. The last ones tell its jobs apart.
JOBS = ("LSB_JOBID", "PBS_JOBID", "PE_HOSTFILE", "SLURM_JOB_ID")
SCHEDULERS = ("KUBERNETES_SERVICE_HOST", *JOBS)
SECONDS = 1.0  # between two looks at GPUs that are taken


def requested() -> int | None:
    """The GPUs that the job was given, of MSDD_GPUS in the environment; None if nobody said."""
    text = os.environ.get("MSDD_GPUS", "")
    if text and not text.isdecimal():
        raise MsddError(f"MSDD_GPUS is {text}; it is the number of GPUs of the job")
    return int(text) if text else None


def count(devices: Path = DEVICES) -> int:
    """The GPUs of NVIDIA in this host or container."""
    return sum(path.name.removeprefix("nvidia").isdecimal() for path in devices.glob("nvidia*"))


def visible() -> int:
    """How many GPUs this process may use: those in CUDA_VISIBLE_DEVICES, or all there are."""
    return count() if LISTED not in os.environ else len(listed())


def listed() -> list[str]:
    """The GPUs in CUDA_VISIBLE_DEVICES, by number or name."""
    names = (name.strip() for name in os.environ.get(LISTED, "").split(","))
    return list(takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))


def folder() -> Path:
    """Where the locks of this user's jobs lie, whatever the session or the job's TMPDIR; for each
    job of a scheduler apart, since each may count its GPUs from 0."""
    user = os.getuid()
    runtime = Path("/run/user") / str(user)
    jobs = [os.environ[name] for name in JOBS if name in os.environ]
    own = "-".join(["msdd-gpus", *(re.sub(r"\W", "-", job) for job in jobs)])
    if os.access(runtime, os.W_OK):
        return runtime / own
    return Path(tempfile.gettempdir()) / f"{own}-{user}"


def lease(wanted: int, devices: Path = DEVICES, locks: Path | None = None) -> None:
    """Wait for so many GPUs of this host; from here on this process and its children see no others.

    Of those that CUDA_VISIBLE_DEVICES lists, where it lists more. Does nothing where it does not,
    where a scheduler has chosen them, on a host without GPUs and for MSDD_DEVICE=cpu. The kernel
    takes the lease back when the process ends, however it does. Call it before torch is imported.
    Raises MsddError for more GPUs than there are.
    """
    if "RANK" in os.environ or os.environ.get("MSDD_DEVICE") == "cpu":
        return  # torchrun's processes share their parent's
    if LISTED in os.environ:
        names = listed()
        if len(names) <= wanted:
            return
    elif any(name in os.environ for name in SCHEDULERS):
        return
    else:
        names = [str(k) for k in range(count(devices))]
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the same numbers in every process
    if not names and wanted <= 1:
        return  # the training says that it runs on the CPU
    if wanted > len(names):
        raise MsddError(f"MSDD_GPUS={wanted}, but this machine has {len(names)}; ask for fewer")
    place = locks or folder()
    place.mkdir(parents=True, exist_ok=True)
    chosen = gather(wanted, [place / f"gpu{name}" for name in names]) if wanted else []
    os.environ[LISTED] = ",".join(names[k] for k in chosen)


def gather(wanted: int, gpus: list[Path]) -> list[int]:
    """The numbers of GPUs whose locks this process now keeps.

    Jobs queue: only the first in line takes GPUs as they become free, so that two jobs never hold
    half of what each needs, and a job that needs many is not overtaken for ever.
    """
    told = _tell_once(wanted, gpus)
    queue = gpus[0].with_name("queue")
    while not (turn := lock.take(queue)):
        next(told, None)
        time.sleep(SECONDS)
    with turn:
        kept: list[int] = []
        while True:
            free = (k for k, gpu in enumerate(gpus) if k not in kept and lock.keep(gpu))
            while len(kept) < wanted and (k := next(free, None)) is not None:
                kept.append(k)
            if len(kept) == wanted:
                return sorted(kept)
            next(told, None)
            time.sleep(SECONDS)


def _tell_once(wanted: int, gpus: list[Path]):
    """Says, the first time it is asked, what the job waits for."""
    holders = ", ".join(f"GPU {gpu.name[3:]} by {lock.holder(gpu)}" for gpu in gpus)
    noun = "a GPU" if wanted == 1 else f"{wanted} GPUs"
    yield print(f"msdd: waiting for {noun} of {len(gpus)}; held: {holders}", file=sys.stderr)
