"""Noise is a function of seed and image id, and of nothing else."""

import torch
from scipy.stats import kstest

from msdd.flow.noise import Window, field, image_noise, normals, splitmix
from msdd.seeds import seed_of

SIDES = [4, 8, 16]
PINNED = 3165834468662050353  # seed_of("noise", 0, 1)


def test_an_image_has_its_noise_in_any_company():
    together = image_noise(0, [3, 1, 2], SIDES)
    assert [part.shape for part in together] == [(3, 3, side, side) for side in SIDES]
    for row, image in enumerate([3, 1, 2]):
        for part, alone in zip(together, image_noise(0, [image], SIDES), strict=True):
            assert torch.equal(part[row], alone[0])


def test_seed_and_id_both_count_and_the_global_generator_does_not():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = image_noise(0, [1], SIDES)[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(image_noise(0, [1], SIDES)[0], first)
    assert not torch.equal(image_noise(1, [1], SIDES)[0], first)
    assert not torch.equal(image_noise(0, [2], SIDES)[0], first)


def test_unit_normals_without_correlation_between_images_or_scales():
    parts = image_noise(0, range(64), [16, 32])
    assert all(abs(part.std() - 1) < 0.01 and abs(part.mean()) < 0.01 for part in parts)
    fine = parts[1].flatten(1)
    shared = torch.corrcoef(fine) - torch.eye(len(fine))
    assert shared.abs().max() < 6 / fine.shape[1] ** 0.5
    coarse = parts[0].flatten(1)
    assert torch.linalg.vecdot(coarse, fine[:, : coarse.shape[1]]).abs().max() < 6 * 768**0.5


def restated(key: int, count: int) -> list[int]:
    """SplitMix64 in whole numbers of any size (Steele, Lea, Flood 2014)."""
    mask, numbers = (1 << 64) - 1, []
    for i in range(1, count + 1):
        z = (key + i * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ (z >> 31))
    return numbers


def test_the_bits_are_those_of_splitmix64():
    keys = [0, 1234567, 2**63 - 1]
    found = splitmix(torch.tensor(keys), 5)
    assert [[z % 2**64 for z in row] for row in found.tolist()] == [restated(k, 5) for k in keys]
    assert restated(1234567, 2) == [6457827717110365317, 3203168211198807973]  # as it is published


def test_they_are_distributed_as_normals():
    """By Kolmogorov and Smirnov, both halves and an odd number of them."""
    drawn = normals(torch.arange(8) << 40, 100_001)
    assert drawn.shape == (8, 100_001)
    for part in drawn.tensor_split(2, dim=1):
        assert kstest(part.flatten().numpy(), "norm").pvalue > 1e-3


def test_seeds_are_stable_over_processes_and_tell_parts_apart():
    """The first value is pinned: another one would change every result that was ever written."""
    assert seed_of("noise", 0, 1) == PINNED
    assert seed_of("noise", 0, 1) != seed_of("noise", 1, 0)
    assert all(0 <= seed_of(k) < 2**63 for k in range(100))


def test_windows_of_an_image_agree_where_they_overlap():
    """The noise of an image of any size is a function of seed, image and position."""
    plane = field(0, 7, SIDES, 32, 48)
    assert torch.equal(plane[-1][:, :16, :16], image_noise(0, [7], SIDES)[-1][0])
    for top, left in ((0, 0), (4, 10), (16, 32), (8, 20)):
        window = image_noise(0, [Window(7, top, left)], SIDES)
        for part, whole, side in zip(window, plane, SIDES, strict=True):
            y, x = top * side // SIDES[-1], left * side // SIDES[-1]
            assert torch.equal(part[0], whole[:, y : y + side, x : x + side])


def test_the_blocks_of_an_images_plane_are_independent():
    (plane,) = field(0, 3, [16], 256, 256)
    blocks = plane.unflatten(1, (16, 16)).unflatten(3, (16, 16)).permute(1, 3, 0, 2, 4)
    values = torch.corrcoef(blocks.flatten(2).flatten(0, 1))
    assert (values - torch.eye(256)).abs().max() < 0.25  # 5 sigma of 768 pairs is 0.18
    assert abs(plane.mean()) < 0.01 and abs(plane.std() - 1) < 0.01
