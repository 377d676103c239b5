"""The loss of stage 1: what it is zero for, how it treats a batch, and the authors' own value."""

import json
from types import SimpleNamespace

import pytest
import torch
from recorded import cases
from safetensors.torch import load_file

from msdd.flow.path import authors_weight, downsample, end_state, start_state
from msdd.flow.scales import split_time
from msdd.model.autoencoder import Autoencoder
from msdd.model.config import ModelConfig
from msdd.train.stage1 import drop, losses, share_sizes


class Perfect:
    """Encoder and decoder of one known image: the velocity that X_t and the image imply.

    An image's only latent is its mean, so that latents can be told apart.
    """

    def __init__(self, S: int, image: torch.Tensor) -> None:
        self.config, self.image = SimpleNamespace(scales=S, flow=split_time(S)), image
        self.decoder = SimpleNamespace(null=torch.full((1, 1, 1), 9.0), velocity=self.velocity)
        self.seen: list[tuple[int, torch.Tensor]] = []

    def encoder(self, images):
        return images.mean((1, 2, 3))[:, None, None]

    def velocity(self, X_t, t, scale, latents):
        self.seen.append((scale.index, latents.flatten()))
        t = t[:, None, None, None]
        x_e = downsample(self.image, scale)
        X_e = end_state(x_e, torch.zeros_like(x_e), scale)
        X_s = start_state(x_e, torch.zeros_like(x_e), scale)
        noise = (X_t - torch.lerp(X_e, X_s, t)) / ((1 - t) * scale.end + t * scale.start)
        return X_s - X_e + (scale.start - scale.end) * noise


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("weight", ["none", "authors"])
@pytest.mark.parametrize("S", [1, 2, 3])
def test_a_perfect_velocity_has_no_loss(tiny_params, image, S, weight):
    """Zero but for float32, which division by a small noise level amplifies."""
    settings = tiny_params.stage1.model_copy(update={"loss_weight": weight})
    torch.manual_seed(0)
    terms = losses(Perfect(S, image), image.expand(32, -1, -1, -1), settings)
    assert terms.keys() == {"loss", *(f"scale{i}" for i in range(S))}
    assert all(0 <= value < 1e-9 for value in terms.values())


def test_each_image_goes_to_one_scale_in_balanced_shares(tiny_params, image):
    settings = tiny_params.stage1.model_copy(update={"cond_drop_prob": 0.0})
    network, images = Perfect(3, image), torch.arange(32.0).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)
    losses(network, images, settings)
    assert sorted(len(latents) for _, latents in network.seen) == [10, 11, 11]
    assert [i for i, _ in network.seen] == [0, 1, 2]
    assert torch.equal(torch.cat([latents for _, latents in network.seen]), torch.arange(32.0))


@pytest.mark.parametrize(("images", "scales"), [(16, 3), (5, 3), (4, 3), (6, 4), (16, 4)])
def test_no_scale_has_more_images_than_another_in_the_long_run(images, scales):
    torch.manual_seed(0)
    sizes = torch.tensor([share_sizes(images, scales) for _ in range(3000)])
    assert (sizes.sum(1) == images).all() and (sizes.amax(1) - sizes.amin(1) <= 1).all()
    torch.testing.assert_close(
        sizes.double().mean(0), torch.full((scales,), images / scales).double(), rtol=0, atol=0.05
    )
    assert scales == 3 or images != 16 or not sizes.double().var(0).any()


def test_the_loss_is_a_mean_over_images(tiny_params, monkeypatch):
    """The mean over scales of unequal shares would count some images for more."""
    monkeypatch.setattr("msdd.train.stage1.share_sizes", lambda *_: [11, 10, 11])
    model = tiny_params.model.model_copy(update={"scales": 3, "patch": 2})
    config = ModelConfig.of(16, model.model_dump())
    terms = losses(Autoencoder(config), torch.rand(32, 3, 16, 16) * 2 - 1, tiny_params.stage1)
    mean = (11 * terms["scale0"] + 10 * terms["scale1"] + 11 * terms["scale2"]) / 32
    torch.testing.assert_close(terms["loss"], mean)


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_latents_are_dropped_as_a_whole_at_their_rate(tiny_params, probability):
    settings = tiny_params.stage1.model_copy(update={"cond_drop_prob": probability})
    latents, null = torch.randn(20_000, 2, 3), torch.randn(1, 2, 3)
    torch.manual_seed(0)
    found = drop(latents, null, settings)
    dropped = (found == null).all((1, 2))
    assert torch.equal(found[~dropped], latents[~dropped])
    error = 4 * (probability * (1 - probability) / len(latents)) ** 0.5
    assert dropped.double().mean().item() == pytest.approx(probability, abs=error)


def test_the_null_latents_are_trained(tiny_params):
    network = Autoencoder(ModelConfig.of(16, tiny_params.model.model_dump()))
    torch.nn.init.normal_(network.decoder.head.weight)
    torch.nn.init.normal_(network.decoder.blocks[0].image.adaln.weight)
    settings = tiny_params.stage1.model_copy(update={"cond_drop_prob": 1.0})
    losses(network, torch.rand(4, 3, 16, 16), settings)["loss"].backward()
    assert network.decoder.null.grad.any()
    assert not any(p.grad.any() for p in network.encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("case", cases("msdd", "msdd"), ids=lambda path: path.name)
def test_the_authors_training_pair_and_loss(case):
    """Their noisy inputs, and their loss of a network that returns zeros.

    They take t from a table of 1000 levels and e of 0.667 and 0.334 for thirds: inputs agree to
    3e-3, the loss to 1e-3 of itself.
    """
    config = json.loads((case / "config.json").read_text())["config"]
    io = load_file(case / "io.safetensors")
    total = 0.0
    for scale in split_time(config["num_multiscale_stages"]):
        x_e = downsample(io["train_image"][io["train_stage_of_image"] == scale.index], scale)
        noise = io[f"train_noise_{scale.index}"]
        t = 1 - (1000 * torch.sigmoid(io[f"train_normal_{scale.index}"])).floor() / 1000
        X_s, X_e = start_state(x_e, noise, scale), end_state(x_e, noise, scale)
        X_t = torch.lerp(X_e, X_s, t[:, None, None, None])
        torch.testing.assert_close(X_t, io[f"train_x_t_{scale.index}"], atol=3e-3, rtol=0)
        total += (authors_weight(t) * (X_s - X_e).square().mean((1, 2, 3))).sum()
    expected = io["train_loss_zero_prediction"][0]
    torch.testing.assert_close(total / len(io["train_image"]), expected, rtol=1e-3, atol=0)
