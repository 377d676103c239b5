"""Work that begins before its result is needed: for training, evaluation and reconstruction."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result],
    groups: Iterable[Iterable[Item]],
    pool: ThreadPoolExecutor,
    depth: int,
) -> Iterator[list[Result]]:
    """Yield for every group of items the results of `work`, both in the order given.

    depth: groups that are begun beyond the one that is yielded. `groups` may be endless; no more of
    it is drawn than is begun. An error of `work` is raised where its group would be yielded.
    """
    begun = ([pool.submit(work, item) for item in group] for group in groups)
    waiting = deque(islice(begun, depth))
    for futures in begun:
        waiting.append(futures)
        yield [future.result() for future in waiting.popleft()]
    for futures in waiting:
        yield [future.result() for future in futures]
