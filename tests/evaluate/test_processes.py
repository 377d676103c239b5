"""The same report however the work is dealt to processes."""

import multiprocessing
import os
import socket
from pathlib import Path

import pytest
import torch
from faded import SIDE, SUBJECT, evaluated

from msdd.errors import MsddError
from msdd.evaluate import distributed
from msdd.evaluate.sources import Subject

pytestmark = pytest.mark.usefixtures("own_cache", "one_thread")


def one_of_many(
    rank: int, size: int, port: int, folder: Path, chosen: dict, subject: Subject, answer
) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    try:
        report = evaluated(folder, chosen, distributed.join(), subject)
    except MsddError as error:
        report = str(error)
    if rank == 0:
        answer.put(report)


def of_first(size: int, folder: Path, chosen: dict, subject: Subject = SUBJECT) -> dict | str:
    """The report, or the error, of the first of so many processes."""
    context = multiprocessing.get_context("fork")
    answer, port = context.Queue(), free_port()
    arguments = [(rank, size, port, folder, chosen, subject, answer) for rank in range(size)]
    workers = [context.Process(target=one_of_many, args=a) for a in arguments]
    for worker in workers:
        worker.start()
    found = answer.get(timeout=120)
    for worker in workers:
        worker.join()
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_processes_gives_the_same_report(photographs, two, report_of_two, size):
    """Five images in batches of 2, 2 and 1: uneven shares, an idle process, a short batch."""
    assert of_first(size, photographs, two) == report_of_two


def test_who_waits_for_a_process_that_stopped_says_so(photographs, two):
    """The second of two processes has the second batch, which diverges."""

    def diverging(images, names):
        return images * (torch.nan if "coffee" in names else 1)

    found = of_first(2, photographs, two, Subject({}, SIDE, diverging))
    assert found == "another process stopped; its error stands above"
