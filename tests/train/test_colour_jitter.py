"""Colour jitter: what it does to an image, and on what it depends."""

from types import SimpleNamespace

import torch
from torch import nn

from msdd.train.colour_jitter import colour_jitter
from msdd.train.loop import gradients
from msdd.train.team import Team

IMAGES = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_every_channel_is_one_of_the_image_with_less_contrast():
    torch.manual_seed(0)
    jittered = colour_jitter(IMAGES, 0.6)
    assert jittered.abs().max() <= 1
    before, after = (x.flatten(2) - x.flatten(2).mean(2, keepdim=True) for x in (IMAGES, jittered))
    share = after @ before.mT / before.square().sum(2)[:, None]  # of every channel in every other
    error = (after[:, :, None] - share[..., None] * before[:, None]).square().mean(3)
    source = error.argmin(2)
    contrast = share.gather(2, source[..., None])[..., 0]
    assert error.min(2).values.max() < 1e-10
    assert (source.sort(1).values == torch.arange(3)).all() and len(source.unique(dim=0)) == 6
    torch.testing.assert_close(contrast, contrast[:, :1].expand(-1, 3))
    assert 0.4 <= contrast.min() < 0.45 and 0.95 < contrast.max() <= 1


def test_without_strength_nothing_is_drawn():
    state = torch.get_rng_state()
    assert colour_jitter(IMAGES, 0.0) is IMAGES
    assert torch.equal(torch.get_rng_state(), state)


def jittered_by(seen: int, rank: int, size: int) -> list[torch.Tensor]:
    """What the losses of a process see of a batch of 64, in microbatches of 16."""
    network, given = nn.Linear(1, 1), []

    def losses(part, latents):
        given.append(part)
        return {"loss": network.weight.sum()}

    settings = SimpleNamespace(microbatch=16, precision="fp32", colour_jitter=0.7)
    of = {"stage": "stage1", "part": "", "task": SimpleNamespace(seed=0)}
    job = SimpleNamespace(settings=settings, losses=losses, network=network, **of)
    team = SimpleNamespace(rank=rank, size=size, add_up=Team().add_up)
    gradients(job, IMAGES.chunk(size)[rank], None, seen, team)
    return given


def test_colours_depend_on_the_step_alone():
    """So that a resumed training, and one of several processes, sees the same images."""
    whole = torch.cat(jittered_by(128, 0, 1))
    shared = torch.cat([*jittered_by(128, 0, 2), *jittered_by(128, 1, 2)])
    assert torch.equal(shared, whole)
    assert not torch.equal(torch.cat(jittered_by(192, 0, 1)), whole)
