"""Work ahead of need: in order, no farther ahead than asked, and errors where they are due."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from msdd.data.prefetch import prefetch


def test_results_come_in_order_and_no_more_is_begun_than_asked():
    begun = []

    def work(item):
        begun.append(item)
        return -item

    with ThreadPoolExecutor(1) as pool:
        results = prefetch(work, ([k, k + 0.5] for k in itertools.count()), pool, depth=2)
        assert [next(results) for _ in range(3)] == [[0, -0.5], [-1, -1.5], [-2, -2.5]]
        results.close()
    assert begun == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5]


def test_an_error_is_raised_where_its_group_is_due():
    with ThreadPoolExecutor(2) as pool:
        results = prefetch(lambda item: 1 / item, [[1], [0], [2]], pool, depth=5)
        assert next(results) == [1]
        with pytest.raises(ZeroDivisionError):
            next(results)
