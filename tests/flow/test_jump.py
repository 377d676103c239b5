"""After every jump the state is that of training: level s, white; in closed form and drawn."""

import pytest
import torch

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.jump import block_noise, carry_noise, jump
from msdd.flow.path import end_state, start_state, up
from msdd.flow.scales import split_time

FLOWS = [*(split_time(S) for S in range(2, 6)), split_time(3, (0.9, 0.2, 0.0))]
JUMPS = [pair for flow in FLOWS for pair in zip(flow, flow[1:], strict=False)]
NAMES = [f"e{before.end:.2f}-to-s{after.start:.2f}" for before, after in JUMPS]
every_jump = pytest.mark.parametrize("before, after", JUMPS, ids=NAMES)
every_rule = pytest.mark.parametrize("rule", CORRELATIONS)
ONES, IDENTITY = torch.ones(4, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)


def exact(a, b):
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


def covariance(rule: str) -> torch.Tensor:
    """Of block noise, exactly: it is linear in the block's four normals."""
    responses = block_noise(IDENTITY.view(4, 1, 2, 2), CORRELATIONS[rule]).view(4, 4)
    return responses.T @ responses


def blocks(x: torch.Tensor) -> torch.Tensor:
    """(N, 1, H, W) to (blocks, 4)."""
    return x.unfold(2, 2, 2).unfold(3, 2, 2).reshape(-1, 4)


def drawn(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rule, r", [("white", -1 / 3), ("paper_code", 1 / 3)])
def test_block_noise_has_unit_variance_and_its_correlation(rule, r):
    exact(covariance(rule), (1 - r) * IDENTITY + r * ONES)


def test_white_block_noise_is_four_normals_less_their_mean():
    normals = drawn(2, 3, 4, 4, seed=0)
    means = normals.view(2, 3, 2, 2, 2, 2).mean((3, 5))
    exact(block_noise(normals), (normals - up(means)) * (4 / 3) ** 0.5)


@every_jump
def test_closed_form(before, after):
    """a (1-e) = 1-s, and a^2 e^2 11^T + b^2 C = s^2 I; with the authors' C, neighbours at 1/2."""
    e, s = before.end, after.start
    a, b = 1 / (1 + e), 3**0.5 * e / (1 + e)
    assert a * (1 - e) == pytest.approx(1 - s, abs=1e-15)
    exact((a * e) ** 2 * ONES + b**2 * covariance("white"), s**2 * IDENTITY)
    authors = (a * e) ** 2 * ONES + b**2 * covariance("paper_code")
    exact(authors, s**2 * (IDENTITY + ONES) / 2)


@every_jump
@every_rule
def test_the_jump_lands_on_the_path_with_the_carried_noise(before, after, rule):
    """jump((1-e) x + e n) = (1-s) Up(x) + s n_i, exactly: no drift of the image or of the level."""
    x, n = drawn(2, 3, 4, 4, seed=1), drawn(2, 3, 4, 4, seed=2)
    fresh = block_noise(drawn(2, 3, 8, 8, seed=3), CORRELATIONS[rule])
    found = jump(end_state(x, n, before), fresh, before.end)
    exact(found, start_state(up(x), carry_noise(n, fresh), after))


@every_jump
@every_rule
def test_sampled(before, after, rule):
    """Signal 1-s on a known image, and the covariance of the blocks, within Monte-Carlo error."""
    s, image = after.start, 0.7
    x = torch.full((1, 1, 256, 256), image, dtype=torch.float64)
    X_e = end_state(x, drawn(1, 1, 256, 256, seed=4), before)
    fresh = block_noise(drawn(1, 1, 512, 512, seed=5), CORRELATIONS[rule])
    state = blocks(jump(X_e, fresh, before.end))
    error = 5 * s / len(state) ** 0.5
    torch.testing.assert_close(
        state.mean(0), torch.full((4,), (1 - s) * image).double(), atol=error, rtol=0
    )
    expected = s**2 * (IDENTITY if rule == "white" else (IDENTITY + ONES) / 2)
    torch.testing.assert_close(state.T.cov(), expected, atol=2**0.5 * s * error, rtol=0)


def test_carried_noise_is_white_over_a_whole_chain():
    """Three jumps on: unit variance, and no correlation at any shift within reach of a block."""
    noise = drawn(1, 1, 64, 64, seed=6)
    for side in (128, 256, 512):
        noise = carry_noise(noise, block_noise(drawn(1, 1, side, side, seed=side)))
    autocorrelation = torch.fft.ifft2(torch.fft.fft2(noise).abs() ** 2).real[0, 0] / noise.numel()
    expected = torch.zeros(16, 16, dtype=torch.float64)
    expected[0, 0] = 1
    error = 6 / noise.numel() ** 0.5
    torch.testing.assert_close(autocorrelation[:16, :16], expected, atol=error, rtol=0)
