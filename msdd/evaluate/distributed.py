"""The torchrun process group (`Team`) and the device of an evaluation."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from msdd.device import default_device
from msdd.errors import MsddError
from msdd.process_group import join_group, told
from msdd.tokenizers import arguments


class Team(NamedTuple):
    """This process among `size`. The first one, of rank 0, collects and reports."""

    rank: int = 0
    size: int = 1

    def share(self, value: Any) -> Any:
        """What the first process has, for all."""
        if self.size == 1:
            return value
        box = [value]
        with awaiting_others():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def send(self, value: Any) -> None:
        """Give a value to the first process, which waits for it in `collect`."""
        with awaiting_others():
            dist.send_object_list([value], dst=0)

    def collect(self) -> Iterator[Any]:
        """What the others send, one after another, so that one is in memory at a time."""
        for rank in range(1, self.size):
            box = [None]
            with awaiting_others():
                dist.recv_object_list(box, src=rank)
            yield box[0]


@contextmanager
def awaiting_others() -> Iterator[None]:
    """Raise MsddError in processes that wait for one that has stopped."""
    try:
        yield
    except RuntimeError as error:
        raise MsddError(f"another process stopped; see its error above ({told(error)})") from error


def join() -> Team:
    """The team of torchrun's environment. Only numbers travel, so gloo serves GPUs, too."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return Team()
    if not dist.is_initialized():
        join_group("gloo", timedelta(days=1))
    return Team(dist.get_rank(), dist.get_world_size())


def device(name: str | None) -> torch.device:
    """The named device, else that of `msdd.device.default_device`; MsddError for another name, and
    where it cannot be used."""
    return arguments.device("--device", str(default_device()) if name is None else name)
