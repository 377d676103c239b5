"""Networks that timm builds, from files in the official forms with random weights: read by the
whole road, and against the original classes or, of DINOv2, a plain restatement."""

import re
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_clip import by_openai, by_pillow, hub_state, random_state
from safetensors.torch import save_file
from skimage import data

from msdd.data.pixels import from_uint8
from msdd.errors import MsddError
from msdd.weights import pretrained, pretrained_networks
from msdd.weights.optional_imports import import_timm
from msdd.weights.representations import CLIP, FDR, IMAGENET, REPRESENTATIONS, Representation, Timm
from msdd.weights.timm_features import RESIZES, TimmFeatures
from msdd.weights.weight_sources import by_hand

timm = import_timm("these tests")


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """uint8 (2, 3, 128, 128)."""
    parts = [data.astronaut()[:128, 200:328], data.coffee()[100:228, 200:328]]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)


def dinov2_file(depth: int = 12) -> dict[str, torch.Tensor]:
    """Names and shapes of `dinov2_vits14_pretrain.pth`."""
    width, shapes = 384, vit_shapes(384, 14, 1370, depth) | {"mask_token": (1, 384)}
    for i in range(depth):
        shapes |= {f"blocks.{i}.ls{k}.gamma": (width,) for k in (1, 2)}
    return random_state(shapes)


def mae_file() -> dict[str, torch.Tensor]:
    """Names of `mae_pretrain_vit_large.pth`, which holds the encoder; three heads of 64 are enough
    for a test."""
    return random_state(vit_shapes(192, 16, 197, 12))


def vit_shapes(width: int, patch: int, tokens: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Of a vision transformer by Meta's names."""
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for i in range(depth):
        inner = {"norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width)}
        inner |= {"attn.proj": (width, width), "mlp.fc1": (4 * width, width)}
        inner |= {"mlp.fc2": (width, 4 * width)}
        for name, size in inner.items():
            shapes[f"blocks.{i}.{name}.weight"] = size
            shapes[f"blocks.{i}.{name}.bias"] = size[:1]
    return shapes


def dinov2(state, images, antialias: bool = False):
    """The class token of DINOv2-S/14 of normalised images (B, 3, side, side), word for word.
    Positions are as Meta's code resizes them, or as timm does.

    No package that this environment could hold has Meta's class; `BY_META` is of it.
    """
    kernel, bias = (state[f"patch_embed.proj.{x}"] for x in ("weight", "bias"))
    grid = state["pos_embed"][:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    side = images.shape[-1] // 14
    if antialias:
        grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True)
    else:
        grid = F.interpolate(grid, scale_factor=((side + 0.1) / 37,) * 2, mode="bicubic")
    patches = (F.conv2d(images, kernel, bias, stride=14) + grid).flatten(2).transpose(1, 2)
    first = (state["cls_token"] + state["pos_embed"][:, :1]).expand(len(images), -1, -1)
    x = torch.cat([first, patches], 1)
    for i in range(12):
        x = block(x, state, f"blocks.{i}.")
    return norm(x, state, "norm")[:, 0]


def block(x, state, prefix: str):
    """x (B, N, C); 6 heads."""
    h = affine(norm(x, state, f"{prefix}norm1"), state, f"{prefix}attn.qkv")
    q, k, v = (y.unflatten(-1, (6, -1)).transpose(1, 2) for y in h.chunk(3, -1))
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    h = affine((weights @ v).transpose(1, 2).flatten(2), state, f"{prefix}attn.proj")
    x = x + h * state[f"{prefix}ls1.gamma"]
    h = F.gelu(affine(norm(x, state, f"{prefix}norm2"), state, f"{prefix}mlp.fc1"))
    return x + affine(h, state, f"{prefix}mlp.fc2") * state[f"{prefix}ls2.gamma"]


def affine(x, state, name: str):
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(x, state, name: str):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)


def mae(state, images):
    """The class token of MAE's encoder with nothing masked: facebookresearch/mae, models_vit.py,
    which subclasses timm's class and has this order, without `global_pool`."""
    eps = partial(torch.nn.LayerNorm, eps=1e-6)
    network = timm.models.vision_transformer.VisionTransformer(
        224, 16, embed_dim=192, depth=12, num_heads=3, num_classes=0, norm_layer=eps
    ).eval()
    network.load_state_dict(state)
    x = network.patch_embed(images)
    x = torch.cat([network.cls_token.expand(len(x), -1, -1), x], 1) + network.pos_embed
    return network.norm(network.blocks(x))[:, 0]


def test_cmmd_sees_the_square_in_the_middle(photographs):
    """As cmmd-pytorch's io_util.py crops, with whole numbers; dgm-eval squeezes."""
    images = photographs[..., 1:60, 3:90]
    square = images[..., :, 14 : 14 + 59]
    found = RESIZES["square"](from_uint8(images), 48)
    assert torch.equal(found, RESIZES["pil"](from_uint8(square), 48))
    assert REPRESENTATIONS["clip-l14-336"].timm.resize == "square"


# Every 48th feature that Meta's DinoVisionTransformer makes of both photographs with `dinov2_file`,
# by the package dinov2 0.0.1.dev2 (2026-12-01), which needs another torch and is not installed.
BY_META = [
    [-0.939879, -1.319242, 0.980191, 0.290512, 0.116104, -0.213513, 0.305183, -1.036096],
    [-1.380793, -1.096718, 1.545603, 1.128436, 1.014280, -0.779302, 0.832070, 0.592258],
]


def test_dinov2_from_a_file_in_meta_s_form(photographs, tmp_path, monkeypatch):
    """By name through MSDD_WEIGHTS, with dgm-eval's preprocessing of real photographs."""
    state = dinov2_file()
    torch.save(state, tmp_path / "dinov2_vits14_pretrain.pth")
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    with pytest.raises(MsddError, match="is not the published 'dinov2-s14'"):
        pretrained_networks.feature_network("dinov2-s14")
    source = by_hand("dinov2_vits14_pretrain.pth", None, "https://example.org")
    monkeypatch.setitem(pretrained.SOURCES, "dinov2-s14", source)
    network = pretrained_networks.feature_network("dinov2-s14")
    with torch.no_grad():
        found = network(from_uint8(photographs))
        expected = dinov2(state, by_pillow(photographs, 224, IMAGENET))
    assert found.shape == (2, REPRESENTATIONS["dinov2-s14"].dimensions)
    assert (found[0] - found[1]).abs().mean() > 1e-2  # the photographs differ
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[:, ::48], torch.tensor(BY_META), rtol=1e-4, atol=1e-4)
    identity = pretrained.identity("dinov2-s14")
    torch.save(state | {"norm.bias": state["norm.bias"] + 1}, tmp_path / source.file)
    assert len(identity) == 64 and pretrained.identity("dinov2-s14") != identity


def test_fdr_s_dinov2_pads_to_whole_patches(photographs):
    """FD-loss resizes to 256 px, floats and antialiased, and timm pads these to 266."""
    state = dinov2_file()
    about = REPRESENTATIONS["fdr-dinov2"].timm._replace(model="vit_small_patch14_dinov2.lvd142m")
    images = from_uint8(photographs)
    resized = F.interpolate((images + 1) / 2, (256, 256), mode="bicubic", antialias=True)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    padded = F.pad((resized - mean) / deviation, (0, 10, 0, 10))
    with torch.no_grad():
        found = TimmFeatures(state, about)(images)
        torch.testing.assert_close(found, dinov2(state, padded, True), rtol=1e-3, atol=1e-4)


CLIP_BASE = "vit_base_patch32_clip_quickgelu_224.openai"  # small enough for a test


@pytest.mark.parametrize("pool", ["head", "class"])
def test_clip_from_a_file_in_the_hub_s_form(pool, photographs, tmp_path, monkeypatch):
    """Equal to OpenAI's class. CMMD's embedding is by QuickGELU, as trained, and of length 1; FDr's
    token is by GELU, as FD-loss takes it."""
    quick = pool == "head"
    model = CLIP_BASE if quick else CLIP_BASE.replace("_quickgelu", "")
    row = Representation("CLIP", 512, "clip-test", Timm(model, 224, "pil", CLIP, pool))
    monkeypatch.setitem(REPRESENTATIONS, "clip-test", row)
    source = by_hand("clip/model.safetensors", None, "https://example.org")
    monkeypatch.setitem(pretrained.SOURCES, "clip-test", source)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    with pytest.raises(MsddError, match="get model.safetensors from https://example.org and put"):
        pretrained_networks.feature_network("clip-test")
    (tmp_path / "clip").mkdir()
    save_file(state := hub_state(), tmp_path / source.file)
    with torch.no_grad():
        found = pretrained_networks.feature_network("clip-test")(from_uint8(photographs))
        expected = by_openai(state, quick, embed=quick)(by_pillow(photographs, 224, CLIP))
    expected = F.normalize(expected) if quick else expected
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def by_fd_loss(images: torch.Tensor) -> torch.Tensor:
    """At 224 px as floats, antialiased, and normalised."""
    resized = F.interpolate((images + 1) / 2, (224, 224), mode="bicubic", antialias=True)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    return (resized - mean) / deviation


def test_siglip_from_a_file_in_the_hub_s_form(photographs, tmp_path, monkeypatch):
    """As `TimmReprModel` of FD-loss, which pools by attention; a file of timm's on the Hub, with a
    classifier that is not used."""
    torch.manual_seed(0)
    model = "vit_base_patch16_siglip_256.v2_webli"
    original = timm.create_model(model, num_classes=0, dynamic_img_size=True)
    about = Timm(model, 224, "torch", IMAGENET, "attention")
    monkeypatch.setitem(REPRESENTATIONS, "test", Representation("test", 768, "test", about))
    source = by_hand(f"{model}/model.safetensors", None, "https://example.org")
    monkeypatch.setitem(pretrained.SOURCES, "test", source)
    monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
    (tmp_path / model).mkdir()
    state = original.state_dict() | {"head.fc.weight": torch.ones(3, 3)}
    save_file(state, tmp_path / source.file)
    images = from_uint8(photographs)
    with torch.no_grad():
        found = pretrained_networks.feature_network("test")(images)
        expected = original.pool(original.eval().forward_features(by_fd_loss(images)))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def from_file(tmp_path, monkeypatch):
    """The network of a file of tensors under `model`, as Meta's programs save them."""

    def read(state, about: Timm) -> torch.nn.Module:
        torch.save({"model": state}, tmp_path / "test.pth")
        monkeypatch.setenv("MSDD_WEIGHTS", str(tmp_path))
        monkeypatch.setitem(REPRESENTATIONS, "test", Representation("test", 0, "test", about))
        source = by_hand("test.pth", None, "https://example.org")
        monkeypatch.setitem(pretrained.SOURCES, "test", source)
        return pretrained_networks.feature_network("test")

    return read


def test_mae_from_a_file_in_meta_s_form(photographs, from_file):
    state, images = mae_file(), from_uint8(photographs)
    network = from_file(state, Timm("vit_tiny_patch16_224", 224, "torch", IMAGENET, "class"))
    with torch.no_grad():
        found, expected = network(images), mae(state, by_fd_loss(images))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_convnext_from_a_file_in_meta_s_form(photographs, from_file):
    """With its classifier; the mean of the last map, as FD-loss's `TimmReprModel` takes it."""
    torch.manual_seed(0)
    model = "convnextv2_atto.fcmae"
    original = timm.create_model(model, num_classes=0).eval()
    state = {convnext_name(k): v for k, v in original.state_dict().items()}
    for name, values in state.items():
        if ".grn." in name:
            state[name] = torch.nn.init.normal_(values)[None, None, None]  # 0 by default
        elif ".pwconv" in name and name.endswith("weight"):
            state[name] = values.flatten(1)  # of linear layers
    state |= {"head.weight": torch.ones(3, 320), "head.bias": torch.ones(3)}
    images = from_uint8(photographs)
    found = from_file(state, Timm(model, 224, "torch", IMAGENET, "mean"))(images)
    with torch.no_grad():
        expected = original.forward_features(by_fd_loss(images)).mean((2, 3))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def convnext_name(name: str) -> str:
    """Of facebookresearch/ConvNeXt-V2 at d7cc26f, models/convnextv2.py, from timm's."""
    for ours, theirs in (
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample", r"downsample_layers.\1"),
        (r"^stages\.(\d)\.blocks", r"stages.\1"),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc", "pwconv"),
        (r"mlp\.grn\.weight", "grn.gamma"),
        (r"mlp\.grn\.bias", "grn.beta"),
        (r"^head\.norm", "norm"),
    ):
        name = re.sub(ours, theirs, name)
    return name


def test_weights_of_another_network_are_refused():
    state = dinov2_file(depth=11)
    with pytest.raises(MsddError, match="missing: blocks.11"):
        TimmFeatures(state, REPRESENTATIONS["dinov2-s14"].timm)


@pytest.mark.parametrize("name", [n for n, one in REPRESENTATIONS.items() if one.timm])
def test_every_row_of_the_table_is_of_its_network(name):
    """Dimensions and side as timm knows them; no weights are made."""
    row = REPRESENTATIONS[name]
    with torch.device("meta"):
        more = {} if row.timm.pool == "head" else {"num_classes": 0}
        network = timm.create_model(row.timm.model, **more)
    assert row.dimensions == (768 if row.timm.pool == "head" else network.num_features)
    assert network.pretrained_cfg["mean"] == row.timm.colour[0]
    assert network.pretrained_cfg["std"] == row.timm.colour[1]
    assert row.weights in pretrained.SOURCES and (name in FDR) == name.startswith("fdr-")
