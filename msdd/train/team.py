"""The processes that share a training, as torchrun starts them."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from msdd.errors import MsddError
from msdd.pipeline.stop import no_more_requests
from msdd.process_group import join_group, told

TIMEOUT = timedelta(hours=1)  # the first process may write and measure for so long
BUCKET = 1 << 24  # numbers that travel at once: 64 MiB
PATIENCE = 10  # seconds


class Team(NamedTuple):
    """This process among `size`. The first one, of rank 0, writes, tracks and reports."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            with awaiting_others():
                dist.all_reduce(torch.zeros(1))

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its sum over the processes, in float32, or in float64 if all are.

        All processes bring tensors of the same shapes in the same order, and get the same bits.
        """
        if self.size == 1:
            return
        wide = all(tensor.dtype == torch.float64 for tensor in tensors)
        dtype = torch.float64 if wide else torch.float32
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.detach().reshape(-1).to(dtype) for tensor in bucket])
            with awaiting_others():
                dist.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.detach().copy_(part.view_as(tensor))

    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by that of the first process."""
        if self.size > 1:
            with awaiting_others():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def check_same(self, images: int, tensors: Sequence[Tensor]) -> None:
        """MsddError unless all processes have seen as many images and hold the same float32 bits.

        Compares a sum of the bits of each tensor, so that weights do not travel.
        """
        if self.size == 1:
            return
        sums = torch.stack([bits(tensor).cpu() for tensor in tensors])
        marks = torch.cat([torch.tensor([images]), sums])
        least, most = marks.clone(), marks.clone()
        with awaiting_others():
            dist.all_reduce(least, dist.ReduceOp.MIN)
            dist.all_reduce(most, dist.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise MsddError(
                f"after {images} images the {self.size} processes do not hold the same weights; do "
                "all hosts have the same GPUs, packages and files? Start again from the checkpoint"
            )

    def leave(self) -> None:
        """After the last thing that all do together."""
        if self.size > 1:
            self.wait()
            dist.destroy_process_group()


ALONE = Team()


def bits(tensor: Tensor) -> Tensor:
    """The sum of the bits of float32 numbers as integers: int64, a scalar."""
    return tensor.detach().reshape(-1).view(torch.int32).sum(dtype=torch.int64)


def buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in their order, in lists of at most BUCKET numbers, or of one larger tensor."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and sum(map(Tensor.numel, [*bucket, tensor])) > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def awaiting_others() -> Iterator[None]:
    """In the block a process that waits for a stopped one lets that one end first: torchrun names
    the first that ends, and ends the others within a second."""
    try:
        yield
    except RuntimeError as error:
        no_more_requests()
        time.sleep(PATIENCE)
        raise MsddError(
            f"another process of this training has stopped, or is not reached ({told(error)})"
        ) from error


def join(device: torch.device) -> Team:
    """The team of torchrun's environment; one process without it.

    NCCL carries what lies on GPUs, gloo the rest. Raises MsddError where NCCL is missing, for more
    processes than GPUs on a host, and where the processes cannot meet.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return ALONE
    if device.type == "cuda":
        check_gpus(size)
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    join_group(backend, TIMEOUT)
    return Team(dist.get_rank(), size)


def check_gpus(size: int) -> None:
    """MsddError unless NCCL is there and each process of this host has a GPU of its own."""
    if not dist.is_nccl_available():
        raise MsddError(
            f"{size} processes on GPUs need NCCL, which this torch ({torch.__version__}) lacks; "
            "install torch for CUDA, or train on one GPU"
        )
    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", size)), torch.cuda.device_count()
    if here > gpus:
        raise MsddError(
            f"{here} processes on this host, but torch sees {gpus} GPUs; start as many processes "
            "as GPUs, or set MSDD_DEVICE=cpu"
        )
