"""The authors' heads by their recorded numbers, and what the networks around them promise."""

import json
import sys

import pytest
import torch
from recorded import cases
from safetensors.torch import load_file
from torch import nn

from msdd import files
from msdd.errors import MsddError
from msdd.train.discriminator import (
    DINO_DEPTHS,
    DinoFeatures,
    FeatureDiscriminator,
    LpipsFeatures,
    SpectralConv1d,
    crop_or_resize,
    dino_network,
    discriminator,
    head,
    spectral_weight,
)
from msdd.weights import pretrained
from msdd.weights.optional_imports import import_timm
from msdd.weights.pretrained_networks import lpips_network
from msdd.weights.weight_sources import WeightSource

CASES = cases("msdd", "disc_head")


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def images(side: int, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(side)
    return (2 * torch.rand(count, 3, side, side, generator=generator) - 1).requires_grad_()


@pytest.fixture(params=CASES, ids=lambda path: path.name)
def case(request):
    config = json.loads((request.param / "config.json").read_text())["config"]
    channels = [config["channels"]] * config["heads"]
    judge = FeatureDiscriminator(lambda features: features, channels, config["kernel_size"])
    judge.load_state_dict(load_file(request.param / "model.safetensors"), strict=True)
    io = load_file(request.param / "io.safetensors")
    return judge, io, [io[f"features_{i}"] for i in range(config["heads"])]


def test_the_authors_cases_are_found():
    assert CASES


@torch.no_grad()
def test_logits_and_weights_in_evaluation(case):
    judge, io, features = case
    close(judge.eval()(features), io["logits_eval"])
    for i, (first, residual, out) in enumerate(judge.heads):
        for name, layer in {"conv1": first[0], "conv2": residual.fn[0], "out": out}.items():
            close(spectral_weight(layer), io[f"effective_weight_{i}_{name}"])


def test_logits_and_buffers_of_a_training_call(case):
    judge, io, features = case
    close(judge.train()(features), io["logits_train"])
    state, after = judge.state_dict(), {k: v for k, v in io.items() if k.startswith("after_train.")}
    assert after
    for name, value in after.items():
        close(state[name.removeprefix("after_train.")], value)


def test_evaluation_changes_no_buffer(case):
    judge, _, features = case
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    judge.eval()(features)
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())


def test_spectral_convolution_is_torchs():
    """Outputs, gradients, u and v over several calls, against torch's hook on its own Conv1d."""
    ours = SpectralConv1d(6, 5, kernel=9)
    reference = nn.Conv1d(6, 5, 9, padding=4, padding_mode="circular")
    reference = nn.utils.spectral_norm(reference, eps=1e-12)
    reference.load_state_dict(ours.state_dict())
    for _ in range(3):
        x = torch.randn(2, 6, 12)
        a, b = ours(x), reference(x)
        close(a, b)
        a.square().sum().backward()
        b.square().sum().backward()
    close(ours.weight_orig.grad, reference.weight_orig.grad)
    close(ours.weight_u, reference.weight_u)
    close(ours.weight_v, reference.weight_v)


def test_spectral_weight_is_the_same_under_autocast():
    layer = SpectralConv1d(6, 5, kernel=9).eval()
    with torch.autocast("cpu", torch.bfloat16):
        weight = spectral_weight(layer)
        assert layer(torch.randn(2, 6, 12)).dtype == torch.bfloat16
    assert torch.equal(weight, spectral_weight(layer))


def test_two_calls_before_one_backward():
    """Real and fake images pass before the gradient is taken."""
    judge = head(4)
    (judge(torch.randn(2, 4, 10)).mean() - judge(torch.randn(2, 4, 10)).mean()).backward()
    assert all(p.grad.isfinite().all() for p in judge.parameters())


@torch.no_grad()
def test_positions_are_a_circle():
    judge, x = head(4).eval(), torch.randn(2, 4, 10)
    close(judge(x.roll(3, dims=-1)), judge(x).roll(3, dims=-1))


def test_published_parameter_count():
    with torch.device("meta"):
        assert 5 * sum(p.numel() for p in head(384).parameters()) == 7_386_245


@pytest.mark.parametrize(("side", "positions"), [(32, 225 + 49 + 3 * 9), (64, 301)])
def test_only_the_heads_on_lpips_features_train(side, positions):
    network = lpips_network("alex")
    judge = FeatureDiscriminator(LpipsFeatures(network), network.chns).train()
    batch = images(side)
    logits = judge(batch)
    assert logits.shape == (2, positions)
    logits.square().sum().backward()
    assert batch.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in judge.heads.parameters() if p.ndim > 1)
    assert all(name.startswith("heads.") for name in judge.state_dict())
    assert len(list(judge.parameters())) == 10 * 5
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())
    assert not network.training


def test_lpips_feature_maps_are_the_trunks():
    """The maps that LPIPS itself compares, in its own order."""
    network, batch = lpips_network("alex"), images(64).detach()
    layers, expected = [network.net.slice1, network.net.slice2, network.net.slice3], []
    x = network.scaling_layer(batch)
    for layer in [*layers, network.net.slice4, network.net.slice5]:
        x = layer(x)
        expected.append(x.flatten(2))
    assert [x.shape[1] for x in expected] == network.chns
    for ours, theirs in zip(LpipsFeatures(network)(batch), expected, strict=True):
        close(ours, theirs)


def test_patch_discriminator():
    judge, batch = discriminator("patch"), images(32)
    logits = judge(batch)
    assert logits.shape == (2, 64)
    logits[0, 8 * 3 + 3].backward()
    rows, columns = batch.grad[0].abs().sum(0).nonzero().unbind(1)
    assert (rows.max() - rows.min(), columns.max() - columns.min()) == (17, 17)
    assert not batch.grad[1].any()
    assert sum(p.numel() for p in judge.parameters()) == 34_977


@pytest.mark.parametrize("features", ["patch", "alex"])
def test_autocast_on_a_cpu_changes_nothing(features):
    """A strided convolution's input gradient in bfloat16 would end the process on some CPUs."""
    judge, batch = discriminator(features).eval(), images(32)
    judge(batch).sum().backward()
    logits, expected, batch.grad = judge(batch), batch.grad, None
    with torch.autocast("cpu", torch.bfloat16):
        found = judge(batch)
        assert judge(batch.bfloat16()).dtype == torch.float32
    found.sum().backward()
    assert torch.equal(found, logits)
    assert torch.equal(batch.grad, expected)


def test_small_images_are_enlarged_without_chance():
    state, batch = torch.get_rng_state(), images(32).detach()
    assert torch.equal(crop_or_resize(batch, 224), crop_or_resize(batch, 224))
    assert torch.equal(state, torch.get_rng_state())
    close(crop_or_resize(images(224).detach(), 224), images(224).detach())


def test_large_images_are_cropped_every_other_time():
    """A crop is a window of the picture, a resize its area means; the seed decides."""
    ramp = torch.arange(20 * 20.0).reshape(1, 1, 20, 20).expand(1, 3, 20, 20)
    crops = 0
    for seed in range(100):
        torch.manual_seed(seed)
        first = crop_or_resize(ramp, 10)
        torch.manual_seed(seed)
        assert torch.equal(first, crop_or_resize(ramp, 10))
        if first[0, 0, 0, 1] - first[0, 0, 0, 0] == 1:
            top, left = divmod(int(first[0, 0, 0, 0]), 20)
            assert torch.equal(first, ramp[..., top : top + 10, left : left + 10])
            crops += 1
        else:
            close(first, nn.functional.avg_pool2d(ramp, 2))
    assert 30 < crops < 70


def tiny_vit():
    return import_timm("this test").models.VisionTransformer(
        img_size=224, patch_size=16, embed_dim=16, depth=12, num_heads=2, num_classes=0
    )


def test_dino_features_are_timms_with_the_class_token_added():
    network, batch = tiny_vit().eval().requires_grad_(False), images(224).detach()
    start, *maps = DinoFeatures(network)(batch)
    assert start.shape == (2, 16, 196)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    expected = network.forward_intermediates(
        ((batch + 1) / 2 - mean) / deviation,
        indices=list(DINO_DEPTHS),
        return_prefix_tokens=True,
        output_fmt="NLC",
        intermediates_only=True,
    )
    for ours, (patches, prefix) in zip(maps, expected, strict=True):
        close(ours, (patches + prefix).transpose(1, 2))


def test_dino_passes_gradients_to_images_only():
    network, batch = tiny_vit().eval().requires_grad_(False), images(32)
    judge = FeatureDiscriminator(DinoFeatures(network), [16] * 5)
    logits = judge(batch)
    assert logits.shape == (2, 5 * 196)
    logits.sum().backward()
    assert batch.grad.abs().sum() > 0
    assert all(p.grad is None for p in network.parameters())


def test_dino_of_timm_is_the_published_network():
    """Names and sizes only: no weights are needed to see that the heads fit."""
    with torch.device("meta"):
        network = import_timm("this test").create_model("vit_small_patch16_224.dino", num_classes=0)
        features = DinoFeatures(network)(torch.zeros(2, 3, 224, 224))
    assert [x.shape for x in features] == [(2, 384, 196)] * 5
    assert sum(p.numel() for p in network.parameters()) == 21_665_664


def test_dino_without_weights_says_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("MSDD_WEIGHTS", raising=False)
    monkeypatch.setattr(pretrained, "TIMEOUT", 1e-6)
    with pytest.raises(MsddError, match="get vit_small_patch16_224.*bin, .* and put it at"):
        discriminator("dino")


def test_dino_takes_a_given_file_and_draws_no_weights(tmp_path, monkeypatch):
    """A random ViT-S/16 in the place of the published file, under its own digest."""
    network = import_timm("this test").create_model("vit_small_patch16_224.dino", num_classes=0)
    path = tmp_path / "vit.bin"
    torch.save(network.state_dict(), path)
    source = WeightSource(path.name, files.digest(path), whole=True)
    monkeypatch.setitem(pretrained.SOURCES, "dino-vit-s16", source)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    state = torch.get_rng_state()
    found = dino_network()
    assert torch.equal(state, torch.get_rng_state())
    assert not any(p.requires_grad for p in found.parameters())
    assert not found.training
    torch.testing.assert_close(found.state_dict(), network.state_dict(), atol=0, rtol=0)
    judge = discriminator("dino")
    assert sum(p.numel() for p in judge.parameters()) == 7_386_245
    assert judge(images(32)).shape == (2, 5 * 196)


def test_missing_timm_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MsddError, match="'dino' needs timm"):
        discriminator("dino")


def test_unknown_features_are_refused():
    with pytest.raises(MsddError, match="'resnet' is unknown; known: dino, alex, vgg, patch"):
        discriminator("resnet")
