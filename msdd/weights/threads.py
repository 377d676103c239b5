"""Networks on parts of a batch, each part on a thread of its own."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any

import torch


def by_threads(work: Callable[[Any], Any], parts: Iterable[Any], device: torch.device) -> list[Any]:
    """What `work` makes of every part, without gradients and autocast, in their order.

    On a CPU as many parts at once as torch may use threads, and each on a single one: NNPACK has no
    more, and small layers gain little from several. Meanwhile torch has one thread everywhere. An
    error of `work` is raised once all threads have ended; of several that of the earliest part.
    """
    given, threads = list(parts), torch.get_num_threads()

    def plainly(part: Any) -> Any:
        # in each thread, because torch keeps both modes for each
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            return work(part)

    if device.type != "cpu" or min(threads, len(given)) < 2:
        return [plainly(part) for part in given]
    torch.set_num_threads(1)
    try:
        return in_turns(plainly, given, min(threads, len(given)) - 1)
    finally:
        torch.set_num_threads(threads)


def in_turns(work: Callable[[Any], Any], given: list[Any], others: int) -> list[Any]:
    """Whoever is free takes the next part: this thread, and so many others."""
    left = deque(enumerate(given))
    made: dict[int, Any] = {}
    errors: dict[int, Exception] = {}

    def take() -> None:
        while left:
            try:
                place, part = left.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                made[place] = work(part)
            except Exception as error:
                errors[place] = error
                left.clear()

    helping = [helpers(others).submit(take) for _ in range(others)]
    try:
        take()
    finally:
        left.clear()
        wait(helping)
    if errors:
        raise errors[min(errors)]
    return [made[place] for place in range(len(given))]


@cache
def helpers(count: int) -> ThreadPoolExecutor:
    """Threads that stay: a new one begins without the memory that layers use again and again, and
    every page of that costs a fault."""
    return ThreadPoolExecutor(count)


os.register_at_fork(after_in_child=helpers.cache_clear)  # a child process has no such threads
