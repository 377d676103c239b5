"""Several processes as torchrun starts them, forked from one that has only imported.

Not from the test's own: torch computes no gradients in forks of a process that has computed some.
"""

import multiprocessing
import os
import queue
import socket
from collections.abc import Callable

import torch

from msdd.errors import MsddError

# What trainings and evaluations import, once for all of them: optimisers import torch's compiler.
PRELOADED = ["torch", "torch._dynamo", "msdd.train.chain", "msdd.evaluate.report"]
PRELOADED += ["msdd.cli", "msdd.commands.stages", "msdd.train.run_job", "msdd.evaluate.stage"]


def context():
    """Of processes that are forked from the one that has imported."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


def of_first(size: int, call: Callable, *arguments):
    """What `call` returns in the first of so many processes, or the text of its MsddError."""
    answer, port = context().Queue(), free_port()
    workers = [
        context().Process(target=work, args=(rank, size, port, answer, call, arguments))
        for rank in range(size)
    ]
    for worker in workers:
        worker.start()
    found = first_answer(answer, workers)
    for worker in workers:
        worker.join()
    return found


def first_answer(answer, workers: list):
    while True:
        try:
            return answer.get(timeout=1)
        except queue.Empty:
            ends = [worker.exitcode for worker in workers]
            assert ends[0] is None and not any(ends), f"the processes ended with {ends}"


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
