"""Between the scales of a decode: with a velocity that knows the image, all is known exactly."""

import pytest
import torch

from msdd.evaluate.trace import jump_noise, trace
from msdd.flow.jump import block_noise, jump
from msdd.flow.path import downsample, end_state, start_state, up
from msdd.flow.scales import split_time
from msdd.model.config import ModelConfig
from msdd.model.encoder import Encoder
from msdd.tokenizers.msdd import MSDD

AFTER = {"white": 0.0, "paper_code": 0.5}  # correlation inside blocks after a jump


class Knowing(torch.nn.Module):
    """A decoder of images it knows: the straight path through x to the image."""

    def __init__(self, config: ModelConfig, images: torch.Tensor) -> None:
        super().__init__()
        self.config, self.images = config, images

    def velocity(self, x, t, scale, latents):
        x_e = downsample(self.images, scale)
        X_e, X_s = (end(x_e, torch.zeros_like(x_e), scale) for end in (end_state, start_state))
        noise = (x - torch.lerp(X_e, X_s, t)) / ((1 - t) * scale.end + t * scale.start)
        return X_s - X_e + (scale.start - scale.end) * noise


def decode(S: int, steps: int, rule: str):
    """Images of 64 px, and their trace through S scales."""
    shape = {"width": 16, "depth": 1, "heads": 2, "latents": 4, "latent_dim": 2}
    config = ModelConfig(64, S, 4, 16, positions="grid", **shape)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(S)) * 2 - 1
    tokenizer = MSDD(Encoder(config), [Knowing(config, images)] * S, [steps] * S, jump=rule)
    return images, *trace(tokenizer, images, range(8), seed=0)


@pytest.mark.parametrize("rule", AFTER)
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("S", [1, 2, 4])
def test_clean_estimates_are_the_reduced_images(S, steps, rule):
    images, estimates, _ = decode(S, steps, rule)
    for scale, estimate in zip(split_time(S), estimates, strict=True):
        torch.testing.assert_close(estimate, downsample(images, scale), atol=2e-5, rtol=0)


@pytest.mark.parametrize("rule", AFTER)
def test_jumps_add_noise_of_the_level_and_the_rules_correlation(rule):
    """To 6 deviations of a mean over the scale's blocks. From the second jump on the authors' noise
    is correlated between blocks, too, which does not show here."""
    _, _, jumps = decode(4, 1, rule)
    assert [entry["scale"] for entry in jumps] == [1, 2, 3]
    for entry in jumps:
        error = 6 / (8 * 3 * (4 << entry["scale"]) ** 2) ** 0.5
        assert entry["variance"] == pytest.approx(1, abs=error)
        assert entry["correlation"] == pytest.approx(AFTER[rule], abs=error)


@pytest.mark.parametrize("rule", AFTER)
@pytest.mark.parametrize("level", [0.4, 1.0])
def test_noise_before_and_after_a_jump(rule, level):
    """White noise has variance 1 and correlation 0; after a jump, 0 or the authors' 1/2."""
    white, normals = torch.randn(1, 1, 256, 256), torch.randn(1, 1, 512, 512)
    near = {"abs": 6 / 128}
    assert jump_noise(level * white, level) == pytest.approx(
        {"variance": 1, "correlation": 0}, **near
    )
    e = level / (2 - level)  # so that the next scale starts at `level`
    fresh = block_noise(normals, {"white": -1 / 3, "paper_code": 1 / 3}[rule])
    expected = {"variance": 1, "correlation": AFTER[rule]}
    assert jump_noise(jump(e * white, fresh, e), level) == pytest.approx(expected, **near)


def test_closed_forms():
    """Equal blocks have correlation 1, a checkerboard -1/3, one pixel of four 0."""
    x = torch.randn(2, 3, 4, 4)
    board = up(x) * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    single = up(x) * torch.tensor([[1.0, 0.0], [0.0, 0.0]]).repeat(4, 4)
    power = x.square().mean().item()
    for noise, share, correlation in ((up(x), 1, 1), (board, 1, -1 / 3), (single, 0.25, 0)):
        expected = {"variance": share * power / 0.25, "correlation": correlation}
        assert jump_noise(noise, 0.5) == pytest.approx(expected, rel=1e-5, abs=1e-6)
