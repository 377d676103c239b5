"""LPIPS of batches against the package's own, image by image."""

import pytest
import torch
from skimage import data

from msdd.data.pixels import from_uint8
from msdd.metrics.perceptual import (
    DREAMSIM_FILES,
    Lpips,
    dreamsim_folder,
    pad_sides,
    without_dreamsim,
)
from msdd.weights.pretrained_networks import lpips_network


def crops(count: int, side: int) -> torch.Tensor:
    photograph = torch.from_numpy(data.astronaut()).permute(2, 0, 1)
    corners = [(40 * k % (512 - side), 25 * k % (512 - side)) for k in range(count)]
    return torch.stack([photograph[:, y : y + side, x : x + side] for x, y in corners])


def noisy(images: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(-20, 21, images.shape, generator=generator)
    return (images + noise).clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("net, count, side", [("alex", 37, 64), ("alex", 3, 200), ("vgg", 3, 64)])
def test_equals_the_package_for_8_bits_and_floats(net, count, side):
    a = crops(count, side)
    b, c = noisy(a, 0), from_uint8(noisy(a, 1)) * 0.9
    network = lpips_network(net)
    with torch.no_grad():
        expected = [
            torch.cat([network(x, y).flatten() for x, y in zip(originals, made, strict=True)])
            for originals, made in (
                (from_uint8(a).split(1), y.split(1)) for y in (from_uint8(b), c)
            )
        ]
    found = Lpips(net, torch.device("cpu")).distances([(a, b), (a, c)])
    for x, y in zip(found, expected, strict=True):
        torch.testing.assert_close(x, y.double(), atol=1e-6, rtol=1e-5)


def test_equal_images_are_at_zero_and_small_ones_are_enlarged():
    small = crops(2, 16)
    lpips = Lpips("alex", torch.device("cpu"))
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    zero, found = lpips.distances([(small, small), (small, noisy(small, 0))])
    assert zero.tolist() == [0, 0]
    enlarged = noisy(small, 0).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(found, lpips.distances([(large, enlarged)])[0])


def test_dreamsim_sees_powers_of_two_with_black_below_and_right():
    images = torch.full((1, 3, 60, 64), 255, dtype=torch.uint8)
    found = pad_sides(images)
    assert found.shape == (1, 3, 64, 64)
    assert (found[:, :, :60] == 1).all() and (found[:, :, 60:] == 0).all()


def test_dreamsims_weights_are_looked_for_where_all_others_are(tmp_path, monkeypatch):
    """In MSDD_WEIGHTS and the cache; all of its files, for the package would fetch what lacks."""
    given, cache = tmp_path / "given", tmp_path / "cache"
    given.mkdir()
    monkeypatch.setenv("MSDD_WEIGHTS", str(given))
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    for folder in (cache / "msdd/weights", given):
        (folder / "dreamsim").mkdir(parents=True)
        for name in DREAMSIM_FILES:
            told = f"{given}/dreamsim, or into {cache}/msdd/weights/dreamsim"
            assert dreamsim_folder() or told in without_dreamsim()
            (folder / "dreamsim" / name).touch()
        assert dreamsim_folder() == folder / "dreamsim" and without_dreamsim() is None
