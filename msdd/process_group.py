"""Joining the processes that torchrun started."""

import os
from datetime import timedelta

import torch.distributed as dist

from msdd.errors import MsddError


def join_group(backend: str, timeout: timedelta) -> None:
    """Join torch's group of the processes in torchrun's environment.

    Raises MsddError with the address and torch's reason if they cannot meet: the port is taken, the
    host is not reached, or the environment is incomplete.
    """
    try:
        dist.init_process_group(backend, timeout=timeout)
    except (RuntimeError, ValueError) as error:
        where = ":".join(os.environ.get(f"MASTER_{part}", "?") for part in ("ADDR", "PORT"))
        raise MsddError(
            f"the {os.environ['WORLD_SIZE']} processes cannot meet at {where}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def told(error: RuntimeError) -> str:
    """What torch says of processes that do not hear each other, in one line."""
    return " ".join(str(error).split())[:300]
