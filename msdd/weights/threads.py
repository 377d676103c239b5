"""Networks on parts of a batch, each part on a thread of its own."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch


def by_threads(work: Callable[[Any], Any], parts: Iterable[Any], device: torch.device) -> list[Any]:
    """What `work` makes of every part, without gradients, in their order.

    On a CPU as many parts at once as torch may use threads, and each on a single one: NNPACK has no
    more, and small layers gain little from several. Meanwhile torch has one thread everywhere.
    """
    given, threads = list(parts), torch.get_num_threads()
    if device.type != "cpu" or min(threads, len(given)) < 2:
        return [work(part) for part in given]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(min(threads, len(given))) as pool:
            return list(pool.map(torch.inference_mode()(work), given))
    finally:
        torch.set_num_threads(threads)
