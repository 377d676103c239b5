"""The windowed transformer against loops, and when the network's parts are the identity."""

import pytest
import torch
import torch.nn.functional as F

from msdd.errors import MsddError
from msdd.model.uvit import AdaGroupNorm, ResidualBlock, UViT, UViTConfig
from msdd.model.window_transformer import Attention, window_bias

TINY = UViTConfig(latent_dim=2, channels=20, multipliers=(1, 2), depth=1, layers=1, window=3)


def test_attention_sees_a_window_around_each_position():
    """On a grid larger than the window, query by query over the keys in reach alone."""
    height, width, window, heads = 5, 7, 3, 2
    layer = Attention(8, heads)
    table = torch.randn(2 * window - 1, 2 * window - 1, heads)
    x = torch.randn(1, height * width, 8)
    found = layer(x, window_bias(table, height, width))
    q, k, v = (f(x).view(height, width, heads, 4) for f in (layer.to_q, layer.to_k, layer.to_v))
    mixed = torch.empty(height, width, heads, 4)
    reach = window - 1
    for y in range(height):
        for z in range(width):
            rows = range(max(0, y - reach), min(height, y + reach + 1))
            columns = range(max(0, z - reach), min(width, z + reach + 1))
            keys = [(a, b) for a in rows for b in columns]
            for h in range(heads):
                near = [table[y - a + reach, z - b + reach, h] for a, b in keys]
                scores = torch.stack([q[y, z, h] @ k[a, b, h] / 2 for a, b in keys])
                weights = (scores + torch.stack(near)).softmax(0)
                mixed[y, z, h] = weights @ torch.stack([v[a, b, h] for a, b in keys])
    torch.testing.assert_close(found, layer.out_proj(mixed.view(1, height * width, 8)))


def test_a_grid_of_the_windows_size_is_seen_whole():
    bias = window_bias(torch.zeros(5, 5, 1), 3, 3)
    assert bias.shape == (1, 1, 9, 9) and not bias.any()


@pytest.mark.parametrize("size", [(4, 8), (8, 4), (9, 8)])
def test_a_grid_smaller_than_the_window_is_refused(size):
    with pytest.raises(MsddError, match="multiples of 2 px and at least 6 px"):
        UViT(TINY).condition(torch.zeros(1, 2, 2, 2), size)


def test_latents_finer_than_the_grid_are_refused():
    with pytest.raises(MsddError, match="latents of 8x4 positions do not divide .* 4x4"):
        UViT(TINY).condition(torch.zeros(1, 2, 4, 8), (8, 8))


def test_each_number_of_the_context_modulates_a_block_of_pixels():
    layer, x, context = AdaGroupNorm(32, 3), torch.randn(2, 32, 8, 6), torch.randn(2, 3, 4, 2)
    large = context.repeat_interleave(2, 2).repeat_interleave(3, 3)
    scale, shift = layer.ctx_proj(large).chunk(2, dim=1)
    expected = F.group_norm(x, 32) * (1 + scale) + shift
    torch.testing.assert_close(layer(x, context), expected)


def test_a_residual_block_begins_as_its_skip_path():
    x = torch.randn(1, 32, 4, 4)
    assert torch.equal(ResidualBlock(32, 32, 8)(x, torch.randn(1, 32), torch.randn(1, 8, 2, 2)), x)


def test_widths_are_whole_groups():
    assert TINY.widths == [32, 64]
