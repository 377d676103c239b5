"""The stream of training images is a function of the seed and of the position alone."""

import numpy as np
import pytest
import torch

from msdd.data.loader import Loader, batch_indices, flips
from msdd.data.shards import Crops, ShardWriter
from msdd.files import write_json

LENGTH, SIDE = 10, 4


@pytest.fixture
def crops(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (LENGTH, SIDE, SIDE, 3), np.uint8)
    with ShardWriter(tmp_path / "train", LENGTH, SIDE) as writer:
        writer.write(np.arange(LENGTH), pixels)
    write_json(
        tmp_path / "manifest.json",
        {"digest": "d", "resolution": SIDE, "crops": {"train": LENGTH}},
    )
    return Crops(tmp_path, "train")


def taken(loader, batches):
    with loader:
        found = [batch for _, batch in zip(range(batches), loader, strict=False)]
    return torch.cat([images for images, *_ in found]), np.concatenate([p for _, p, _ in found])


def test_each_epoch_sees_each_crop_once_in_another_order():
    stream = batch_indices(0, LENGTH, 0, 3 * LENGTH).reshape(3, LENGTH)
    assert all(sorted(epoch) == list(range(LENGTH)) for epoch in stream.tolist())
    assert len({tuple(epoch) for epoch in stream.tolist()}) == 3
    assert stream.tolist() != batch_indices(1, LENGTH, 0, 3 * LENGTH).reshape(3, LENGTH).tolist()


@pytest.mark.parametrize("batch", [1, 3, 4, 25])
def test_the_order_does_not_depend_on_batches(batch):
    whole = batch_indices(5, LENGTH, 0, 100)
    parts = [batch_indices(5, LENGTH, start, batch) for start in range(0, 100, batch)]
    assert np.array_equal(whole, np.concatenate(parts)[:100])


def test_a_loader_started_later_goes_on_the_same(crops):
    images, positions = taken(Loader(crops, seed=3, batch=4), 8)
    later, later_positions = taken(Loader(crops, seed=3, batch=4, start=20), 3)
    assert torch.equal(images[20:32], later) and np.array_equal(positions[20:32], later_positions)
    other, _ = taken(Loader(crops, seed=3, batch=8, start=16), 2)
    assert torch.equal(images[16:32], other)


def test_images_are_the_crops_mirrored_by_the_coin(crops):
    images, positions = taken(Loader(crops, seed=3, batch=7), 3)
    expected = crops.batch(batch_indices(3, LENGTH, 0, 21))
    for image, reference, flip in zip(images, expected, flips(3, positions), strict=True):
        assert torch.equal(image, reference.flip(-1) if flip else reference)
    assert images.dtype == torch.uint8 and images.is_contiguous()


def test_all_that_goes_to_a_gpu_is_pinned(crops, monkeypatch):
    """A copy of anything else would wait, at each step, for all that the GPU was asked before."""
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda one: pinned.append(one) or one)
    monkeypatch.setattr(crops, "latents", lambda indices: torch.zeros(len(indices), 2, 3))
    with Loader(crops, 0, 4, pinned=True) as loader:
        images, _, latents = next(iter(loader))
    assert any(one is images for one in pinned) and any(one is latents for one in pinned)


def test_coins_are_fair_and_belong_to_positions():
    coins = flips(0, np.arange(20_000))
    assert abs(coins.mean() - 0.5) < 0.02
    assert np.array_equal(coins[4090:4100], flips(0, np.arange(4090, 4100)))


def test_errors_surface_in_the_consumer(crops):
    crops.shards = [crops.shards[0][:5]]  # half of the rows are gone
    with pytest.raises(IndexError):
        taken(Loader(crops, 0, LENGTH), 1)


def test_closing_stops_the_thread(crops):
    loader = Loader(crops, 0, 4)
    next(iter(loader))
    loader.close()
    with pytest.raises(RuntimeError):
        next(iter(loader))
