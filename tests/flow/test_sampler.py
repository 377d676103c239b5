"""Euler sampling: what it costs, and where it must arrive."""

import pytest
import torch

from msdd.flow.correlation import CORRELATIONS
from msdd.flow.jump import block_noise, carry_noise
from msdd.flow.noise import image_noise
from msdd.flow.path import downsample, end_state, start_state
from msdd.flow.sampler import euler, sample
from msdd.flow.scales import split_time
from msdd.flow.steps import nfe, per_scale, split_steps

UNEVEN = split_time(2, (0.1, 0.0)), split_time(4, (0.9, 0.85, 0.2, 0.0))
FLOWS = [*(split_time(S) for S in range(1, 6)), *UNEVEN]


def normals(S: int, coarsest: int = 4) -> list[torch.Tensor]:
    return [part.double() for part in image_noise(0, [0, 1], [coarsest << i for i in range(S)])]


class Counted:
    """A velocity that counts its calls; the branches differ, so that guidance shows."""

    def __init__(self):
        self.calls: list[tuple[int, float, bool]] = []

    def __call__(self, x, t, scale, conditional):
        self.calls.append((scale.index, t, conditional))
        return x * (0.5 if conditional else 0.25)


@pytest.mark.parametrize(
    "steps, count, expected",
    [
        (12, 3, [4, 4, 4]),
        (14, 4, [4, 4, 3, 3]),  # the remainder goes to the coarsest
        (3, 3, [1, 1, 1]),
        ([5, 1, 2], 3, [5, 1, 2]),
        ((2,), 1, [2]),
    ],
)
def test_steps_are_a_total_or_a_list(steps, count, expected):
    assert split_steps(steps, count) == expected


@pytest.mark.parametrize("steps", [2, 0, [1, 1], [2, 0, 2], [1, 1, 1, 1]])
def test_fewer_steps_than_scales_or_a_list_of_another_length_is_an_error(steps):
    with pytest.raises(ValueError, match="do not give each of 3 scales at least one step"):
        split_steps(steps, 3)


def test_guidance_is_one_number_or_one_per_scale():
    assert per_scale(2, 3) == [2, 2, 2]
    assert per_scale((1, 1.5), 2) == [1, 1.5]
    with pytest.raises(ValueError, match="has not one entry for each of 3 scales"):
        per_scale([1, 2], 3)


@pytest.mark.parametrize(
    "guidance, passes", [([1, 1, 1], 9), ([1.5, 1.5, 1.5], 18), ([1, 2, 0], 13)]
)
def test_forward_passes_are_the_calls(guidance, passes):
    """N steps are N evaluations a branch, and guidance 1 has no second branch."""
    velocity, steps = Counted(), [5, 3, 1]
    sample(velocity, split_time(3), normals(3), steps, guidance)
    assert len(velocity.calls) == nfe(steps, guidance) == passes
    for i, (n, g) in enumerate(zip(steps, guidance, strict=True)):
        times = [1 - k / n for k in range(n)]
        for conditional in [True] + [False] * (g != 1):
            assert [t for j, t, c in velocity.calls if (j, c) == (i, conditional)] == times
        assert g != 1 or all(c for j, _, c in velocity.calls if j == i)


def test_guidance_extrapolates_from_the_null_branch():
    x = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    for guidance in (0, 1, 1.5, 3):
        v = 0.25 + guidance * (0.5 - 0.25)
        found = euler(Counted(), x, split_time(1)[0], 2, guidance)
        torch.testing.assert_close(found, x * (1 - v / 2) ** 2)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_euler_is_exact_on_a_constant_field(steps):
    x, v = normals(1)[0], torch.randn(2, 3, 4, 4, dtype=torch.float64)
    found = euler(lambda *_: v, x, split_time(1)[0], steps)
    torch.testing.assert_close(found, x - v, atol=1e-14, rtol=0)


@pytest.mark.parametrize("rule", CORRELATIONS)
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("scales", FLOWS)
def test_the_exact_velocity_of_one_image_reproduces_it(scales, steps, rule):
    """If the data are one image, v(x, t) follows from x alone and every path is straight.

    So any number of steps must end each scale exactly at (1-e) x_e + e n_i, with n_i the noise
    carried over the jumps, and the last one at the image.
    """
    S, side = len(scales), 4 * scales[0].factor
    image = torch.rand(2, 3, side, side, dtype=torch.float64) * 2 - 1

    def velocity(x, t, scale, conditional):
        x_e = downsample(image, scale)
        X_e, X_s = (end(x_e, torch.zeros_like(x_e), scale) for end in (end_state, start_state))
        noise = (x - torch.lerp(X_e, X_s, t)) / ((1 - t) * scale.end + t * scale.start)
        return X_s - X_e + (scale.start - scale.end) * noise

    drawn, noise = normals(S), None
    states = sample(velocity, scales, drawn, [steps] * S, [1] * S, CORRELATIONS[rule])
    for scale, normal, state in zip(scales, drawn, states, strict=True):
        fresh = block_noise(normal, CORRELATIONS[rule])
        noise = normal if noise is None else carry_noise(noise, fresh)
        expected = end_state(downsample(image, scale), noise, scale)
        torch.testing.assert_close(state, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(states[-1], image, atol=1e-12, rtol=0)
