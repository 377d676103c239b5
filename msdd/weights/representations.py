"""The representations in which distances of sets of images are taken: which network, and what an
image goes through before it. Plain data, which imports nothing.

A distance is named for its representation, since the same weights behind another resize make other
numbers. Sources of the preprocessing: dgm-eval at 74c79f7 (`models/dinov2.py`), FD-loss at 5c03b81
(`frechet_distance/repr_models.py`, `utils/perception_util.py`, `eval_all_fds.py`), cmmd-pytorch at
f7673a9 (`io_util.py`, `embedding.py`).
"""

from collections.abc import Iterable
from typing import NamedTuple

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class Timm(NamedTuple):
    """A network of timm.

    model:  timm's name
    side:   pixels of the square that the image is resized to
    resize: `pil`: bicubic as Pillow's, antialiased, on 8 bits; `square`: likewise, of the square in
            the middle; `torch`: bicubic, antialiased, on floats, and nothing where the image has
            that side
    colour: mean and deviation that are taken off
    pool:   `class`: the class token behind the last norm; `mean` of the last map; `attention`: the
            network's own pooling; `head`: CLIP's embedding, of length 1
    positions: resized by `timm`, antialiased, or as `meta` resizes DINOv2's
    """

    model: str
    side: int
    resize: str
    colour: tuple[tuple[float, ...], tuple[float, ...]]
    pool: str
    positions: str = "timm"


class Representation(NamedTuple):
    """title:      in tables, behind `FD-`
    dimensions: of the features
    weights:    of `msdd.weights.weight_sources.SOURCES`
    timm:       None for the networks of `msdd.weights.features`
    validation: distance of ImageNet's validation set to its training set in this representation
                (FD-loss at 5c03b81, `eval_all_fds.py`), by which FDr divides
    levels:     what levels 0 to 255 become before the network, or what else has changed since
                statistics were first kept; None where nothing has, so that they need not tell
    """

    title: str
    dimensions: int
    weights: str
    timm: Timm | None = None
    validation: float | None = None
    levels: str | None = None


LITE = "(level - 127) / 128"  # tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py
META = "patches at Meta's positions"  # msdd.weights.timm_features.positions_for
CLIP_224 = "vit_large_patch14_clip_224.openai"  # with GELU, though trained with QuickGELU
SIGLIP2 = "vit_so400m_patch16_siglip_256.v2_webli"

REPRESENTATIONS = {
    "inception": Representation("Inception", 2048, "inception"),
    "efficientnet-lite0": Representation("EffNetLite0", 1280, "efficientnet-lite0", levels=LITE),
    "efficientnet-lite2": Representation("EffNetLite2", 1280, "efficientnet-lite2", levels=LITE),
    # dgm-eval, whose distance with DINOv2-L/14 papers call FDD
    "dinov2-s14": Representation(
        "DINOv2-S14",
        384,
        "dinov2-s14",
        Timm("vit_small_patch14_dinov2.lvd142m", 224, "pil", IMAGENET, "class", "meta"),
        levels=META,
    ),
    "dinov2-b14": Representation(
        "DINOv2-B14",
        768,
        "dinov2-b14",
        Timm("vit_base_patch14_dinov2.lvd142m", 224, "pil", IMAGENET, "class", "meta"),
        levels=META,
    ),
    "dinov2-l14": Representation(
        "DINOv2-L14",
        1024,
        "dinov2-l14",
        Timm("vit_large_patch14_dinov2.lvd142m", 224, "pil", IMAGENET, "class", "meta"),
        levels=META,
    ),
    # cmmd-pytorch
    "clip-l14-336": Representation(
        "CLIP-L14-336",
        768,
        "clip-l14-336",
        Timm("vit_large_patch14_clip_quickgelu_336.openai", 336, "square", CLIP, "head"),
        levels="the centre square",
    ),
    # FD-loss
    "fdr-inception": Representation("Inception (FDr)", 2048, "inception", validation=1.68),
    "fdr-convnextv2": Representation(
        "ConvNeXtV2-B (FDr)",
        1024,
        "convnextv2-b",
        Timm("convnextv2_base.fcmae_ft_in22k_in1k", 224, "torch", IMAGENET, "mean"),
        56.87,
    ),
    "fdr-dinov2": Representation(
        "DINOv2-L14 (FDr)",
        1024,
        "dinov2-l14",
        Timm("vit_large_patch14_dinov2.lvd142m", 256, "torch", IMAGENET, "class"),
        14.19,
    ),
    "fdr-mae": Representation(
        "MAE-L16 (FDr)",
        1024,
        "mae-l16",
        Timm("vit_large_patch16_224.mae", 224, "torch", IMAGENET, "class"),
        0.04,
    ),
    "fdr-siglip2": Representation(
        "SigLIP2-SO400M (FDr)",
        1152,
        "siglip2-so400m",
        Timm(SIGLIP2, 224, "torch", HALF, "attention"),
        0.60,
    ),
    "fdr-clip": Representation(
        "CLIP-L14 (FDr)", 1024, "clip-l14", Timm(CLIP_224, 256, "torch", CLIP, "class"), 5.60
    ),
}
FDR = tuple(name for name, one in REPRESENTATIONS.items() if one.validation)


def levels_of(names: Iterable[str]) -> dict[str, str]:
    """How levels are changed before these networks, where a report must say so."""
    return {name: one for name in sorted(set(names)) if (one := REPRESENTATIONS[name].levels)}


def key_of(name: str) -> str:
    """A name as part of the key of a metric."""
    return name.replace("-", "_")
