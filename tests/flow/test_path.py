"""The path of each scale: its ends, its velocity, and the way back from each to the clean image."""

import math

import pytest
import torch

from msdd.flow.path import (
    authors_weight,
    blur,
    clean_estimate,
    down,
    downsample,
    end_state,
    start_state,
    up,
)
from msdd.flow.scales import split_time

FLOWS = [*(split_time(S) for S in range(1, 6)), split_time(3, (0.9, 0.2, 0.0))]
SCALES = [scale for flow in FLOWS for scale in flow]
NAMES = [f"S{len(flow)}-s{scale.start:.2f}-e{scale.end:.2f}" for flow in FLOWS for scale in flow]
every_scale = pytest.mark.parametrize("scale", SCALES, ids=NAMES)


def exact(a, b):
    torch.testing.assert_close(a, b, atol=1e-12, rtol=0)


@pytest.fixture
def pair():
    """A clean image and its noise, float64."""
    generator = torch.Generator().manual_seed(0)
    x_e = torch.rand(2, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 - 1
    return x_e, torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64)


@every_scale
def test_ends_hold_one_image_and_one_noise(scale, pair):
    x_e, n = pair
    e, s, coarse = scale.end, scale.start, up(down(x_e)) if scale.index else torch.zeros_like(x_e)
    exact(end_state(x_e, n, scale), (1 - e) * x_e + e * n)
    exact(start_state(x_e, n, scale), (1 - s) * coarse + s * n)


@pytest.mark.parametrize("S", range(2, 6))
def test_a_start_shows_what_the_previous_scale_has_ended_with(S):
    """x_s of a scale is Up of the previous x_e, as only repeated block means make it."""
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    x = image
    for previous, scale in reversed(list(zip(split_time(S), split_time(S)[1:], strict=False))):
        exact(downsample(image, scale), x)
        exact(blur(x), up(downsample(image, previous)))
        x = down(x)
    exact(downsample(image, split_time(S)[0]), x)


def test_up_repeats_and_down_averages():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]]
    assert up(x).tolist() == [[expected]]
    assert down(x).tolist() == [[[[3]]]]
    assert torch.equal(down(up(x)), x)


@every_scale
def test_clean_image_from_an_end_state(scale, pair):
    x_e, n = pair
    exact(clean_estimate(end_state(x_e, n, scale), n, scale), x_e)


@every_scale
def test_velocity_round_trip(scale, pair):
    """From any point of the path v = X_s - X_e leads to both ends, and from there to image and
    noise."""
    x_e, n = pair
    X_e, X_s = end_state(x_e, n, scale), start_state(x_e, n, scale)
    v = X_s - X_e
    for t in torch.linspace(0, 1, 21, dtype=torch.float64).tolist():
        X_t = (1 - t) * X_e + t * X_s
        exact(X_t - t * v, X_e)
        exact(X_t + (1 - t) * v, X_s)
        exact(clean_estimate(X_t - t * v, n, scale), x_e)
    if scale.index == 0:
        exact(X_t, n)


def test_authors_weight_is_its_definition():
    """w = -1/2 dL/dt exp(b) sigmoid(L - b), the derivative by autograd."""
    t = torch.linspace(0.001, 0.999, 999, dtype=torch.float64, requires_grad=True)
    for bias in (-3.0, 0.0, 1.5):
        log_snr = 2 * torch.log((1 - t) / t)
        (slope,) = torch.autograd.grad(log_snr.sum(), t)
        expected = -slope / 2 * math.exp(bias) * torch.sigmoid(log_snr - bias)
        torch.testing.assert_close(authors_weight(t, bias), expected, rtol=1e-12, atol=0)
