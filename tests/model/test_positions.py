"""Rotary positions and patches."""

import pytest
import torch

from msdd.model.config import ModelConfig
from msdd.model.patches import patchify, unpatchify
from msdd.model.positions import (
    joint_rotation,
    near_square,
    rotate,
    rotation,
    square,
    token_rotation,
)

HEAD, LATENTS = 16, 8


def at(*places: tuple[float, float]):
    rows, columns = torch.tensor(places, dtype=torch.float64).T
    return rotation(rows, columns, HEAD)


def same(found, expected):
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_rotation_preserves_norms_and_the_origin():
    x = torch.randn(2, 4, 3, HEAD)
    by = at((0, 0), (2.5, 7), (-0.5, 31))
    turned = rotate(x, by)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])
    assert not torch.allclose(turned[:, :, 1:], x[:, :, 1:])


def test_scores_depend_on_differences_of_positions_only():
    q, k = torch.randn(2, 1, HEAD)
    scores = [
        rotate(q, at((3 + row, 5 + column))) @ rotate(k, at((1 + row, 9 + column))).T
        for row, column in [(0, 0), (10, 0), (0, -20), (7.5, 0.25)]
    ]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(4, 1, 1), atol=1e-5, rtol=0)
    elsewhere = rotate(q, at((3, 5))) @ rotate(k, at((9, 1))).T
    assert not torch.allclose(elsewhere, scores[0], atol=1e-3)


def test_rotation_by_hand():
    """The first half of a head turns with the row, the second with the column; pairs are adjacent.
    Frequencies of 4 pairs: 1, 1/10, 1/100, 1/1000."""
    turned = rotate(torch.tensor([[1.0, 0.0] * 8]), at((2, 3)))[0].view(8, 2)
    angles = torch.tensor([2, 0.2, 0.02, 0.002, 3, 0.3, 0.03, 0.003])
    torch.testing.assert_close(turned, torch.stack([angles.cos(), angles.sin()], dim=1))


@pytest.mark.parametrize("S", range(1, 5))
def test_grid_tokens_stand_where_they_are_in_the_image(S):
    """Token i of scale k at (i + 1/2) 2^(S-1-k) - 1/2, in patches of the full resolution."""
    full = 8
    for k in range(S):
        factor = 2 ** (S - 1 - k)
        axis = [(i + 0.5) * factor - 0.5 for i in range(full // factor)]
        image = [(row, column) for row in axis for column in axis]
        latents = [(row, column) for row in (1.5, 5.5) for column in (0.5, 2.5, 4.5, 6.5)]
        same(joint_rotation("grid", full // factor, full, LATENTS, HEAD), at(*latents, *image))


def test_a_coarse_grid_token_is_the_mean_of_the_four_it_covers():
    coarse, fine = square(2, 2, 0.5)[0].view(2, 2), square(4, 1, 0)[0].view(4, 4)
    assert torch.equal(coarse, fine.view(2, 2, 2, 2).mean((1, 3)))


def test_line_is_the_papers():
    """The image is cut from the centre of the full grid; latents stand in a row below it."""
    found = joint_rotation("line", 4, 8, LATENTS, HEAD)
    image = [(row, column) for row in range(2, 6) for column in range(2, 6)]
    line = torch.arange(LATENTS, dtype=torch.float64)
    latents = rotation(torch.full_like(line, 4), line, HEAD, base=10000 * LATENTS / 4)
    same(found, torch.cat([latents, at(*image)]))


def test_encoder_and_decoder_agree_on_the_grid():
    """Latents have one place for both, though the encoder's patches are larger."""
    config = ModelConfig(32, 1, 4, 8, 4 * HEAD, 1, 4, LATENTS, 4, "grid")
    encoder, decoder = token_rotation(config, 32, 8), token_rotation(config, 32, 4)
    assert len(encoder) == LATENTS + 16 and len(decoder) == LATENTS + 64
    assert torch.equal(encoder[:LATENTS], decoder[:LATENTS])
    axis = [2 * i + 0.5 for i in range(4)]
    same(encoder[LATENTS:], at(*((row, column) for row in axis for column in axis)))


@pytest.mark.parametrize(
    "tokens, expected", [(1, (1, 1)), (8, (2, 4)), (12, (3, 4)), (128, (8, 16)), (7, (1, 7))]
)
def test_near_square(tokens, expected):
    assert near_square(tokens) == expected


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_patchify_round_trip(patch):
    x = torch.randn(2, 3, 8, 8)
    tokens = patchify(x, patch)
    assert tokens.shape == (2, (8 // patch) ** 2, 3 * patch**2)
    assert torch.equal(unpatchify(tokens, patch, 8), x)


def test_patches_are_row_major_and_channels_last():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    tokens = patchify(x, 2)
    for row in range(2):
        for column in range(3):
            block = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert torch.equal(tokens[:, 3 * row + column], block.permute(0, 2, 3, 1).flatten(1))
