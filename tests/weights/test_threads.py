"""Parts of a batch on threads of their own."""

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


def test_an_error_ends_the_work_and_leaves_torch_its_threads(two_threads):
    def work(part: int) -> torch.Tensor:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        by_threads(work, range(3), CPU)
    assert torch.get_num_threads() == 2
