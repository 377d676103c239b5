"""Several processes as torchrun starts them, forked from the test's."""

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch

from msdd.errors import MsddError


def of_first(size: int, call: Callable, *arguments):
    """What `call` returns in the first of so many processes, or the text of its MsddError."""
    context = multiprocessing.get_context("fork")
    answer, port = context.Queue(), free_port()
    workers = [
        context.Process(target=work, args=(rank, size, port, answer, call, arguments))
        for rank in range(size)
    ]
    for worker in workers:
        worker.start()
    found = answer.get(timeout=600)
    for worker in workers:
        worker.join()
    return found


def work(rank: int, size: int, port: int, answer, call: Callable, arguments: tuple) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    try:
        found = call(*arguments)
    except MsddError as error:
        found = str(error)
    if rank == 0:
        answer.put(found)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
