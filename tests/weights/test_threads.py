"""Parts of a batch on threads of their own."""

import os
import signal
import threading

import pytest
import torch

from msdd.weights.threads import by_threads

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def test_parts_keep_their_order_and_torch_its_threads(two_threads):
    used = []

    def work(part: int) -> torch.Tensor:
        used.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return torch.tensor(part)

    assert by_threads(work, range(5), CPU) == [0, 1, 2, 3, 4]
    assert used == [(1, True)] * 5 and torch.get_num_threads() == 2


@pytest.mark.parametrize("parts", [1, 5])
def test_no_thread_computes_by_the_autocast_of_the_caller(two_threads, parts):
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        made = by_threads(lambda _: (ones @ ones).dtype, range(parts), CPU)
    assert made == [torch.float32] * parts


def test_an_error_ends_the_work_and_leaves_torch_its_threads(two_threads):
    def work(part: int) -> torch.Tensor:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        by_threads(work, range(3), CPU)
    assert torch.get_num_threads() == 2


def test_threads_stay_and_the_callers_is_one_of_them(two_threads):
    """What a thread has once allocated serves the next batch, too."""
    together = threading.Barrier(2)

    def work(_part: int) -> int:
        together.wait(60)
        return threading.get_ident()

    seen = {thread for _ in range(3) for thread in by_threads(work, range(2), CPU)}
    assert len(seen) == 2 and threading.get_ident() in seen


def test_a_child_process_has_threads_of_its_own(two_threads):
    assert by_threads(lambda x: x, range(3), CPU) == [0, 1, 2]
    if not (child := os.fork()):
        signal.alarm(60)  # ends it where it waits for threads of its parent
        os._exit(0 if by_threads(lambda x: x, range(3), CPU) == [0, 1, 2] else 1)
    assert os.waitpid(child, 0)[1] == 0
