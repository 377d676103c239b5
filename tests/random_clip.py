"""Files of CLIP with random weights in the Hub's form, and OpenAI's own class with the same
weights, as torch-fidelity carries it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from msdd.weights import pretrained
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.representations import REPRESENTATIONS
from msdd.weights.weight_sources import by_hand

State = dict[str, Tensor]
ROWS = "clip-l14-336", "fdr-clip"  # of CMMD and of FDr
SMALL = "vit_xsmall_patch16_clip_224"  # timm's name for `small_state`, which has GELU

# OpenAI's names of the image half, from the Hub's.
RENAMED = (
    (r"^vision_model\.", ""),
    (r"^embeddings\.(class|position)_embedding.*", r"\1_embedding"),
    (r"^position_", "positional_"),
    (r"^embeddings\.patch_embedding", "conv1"),
    (r"^pre_layrnorm", "ln_pre"),
    (r"^post_layernorm", "ln_post"),
    (r"^encoder\.layers", "transformer.resblocks"),
    (r"\.self_attn\.", ".attn."),
    (r"\.layer_norm", ".ln_"),
    (r"\.mlp\.fc1", ".mlp.c_fc"),
    (r"\.mlp\.fc2", ".mlp.c_proj"),
)


def random_state(shapes: dict[str, tuple[int, ...]]) -> State:
    """Matrices of deviation 0.05; what multiplies channels is near 1."""
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.05 * torch.randn(*size, generator=generator) for name, size in shapes.items()}
    scales = {n for n, x in state.items() if x.ndim == 1 and n.endswith((".weight", "gamma"))}
    return {name: x + 1 if name in scales else x for name, x in state.items()}


def hub_state(width: int = 768, patch: int = 32, depth: int = 12, out: int = 512) -> State:
    """Names and shapes of a CLIP of the Hub for 224 px, B/32 unless told, with a part of its text
    half."""
    vision = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": ((224 // patch) ** 2 + 1, width),
    }
    for name in ("pre_layrnorm", "post_layernorm"):
        vision |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    for i in range(depth):
        inner = {f"self_attn.{x}_proj": (width, width) for x in ("q", "k", "v", "out")}
        inner |= {"layer_norm1": (width,), "layer_norm2": (width,)}
        inner |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
        for name, size in inner.items():
            vision[f"encoder.layers.{i}.{name}.weight"] = size
            vision[f"encoder.layers.{i}.{name}.bias"] = size[:1]
    shapes = {f"vision_model.{name}": size for name, size in vision.items()}
    shapes |= {"visual_projection.weight": (out, width), "text_projection.weight": (8, 8)}
    return random_state(shapes) | {"logit_scale": torch.tensor(1.0)}


def small_state() -> State:
    return hub_state(256, 16, 10)


def save_small(folder: Path) -> None:
    """`small_state` in the official files of both ROWS."""
    for row in ROWS:
        path = folder / pretrained.SOURCES[REPRESENTATIONS[row].weights].file
        path.parent.mkdir(exist_ok=True)
        (save_file if path.suffix == ".safetensors" else torch.save)(small_state(), path)


def take_small(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Both ROWS are of what `save_small` has put into the folder."""
    patch.setenv("MSDD_WEIGHTS", str(folder))
    for row in ROWS:
        about = REPRESENTATIONS[row]
        small = about.timm._replace(model=SMALL, side=224)
        wide = 512 if small.pool == "head" else 256
        patch.setitem(REPRESENTATIONS, row, about._replace(dimensions=wide, timm=small))
        source = by_hand(pretrained.SOURCES[about.weights].file, None, "https://example.org")
        patch.setitem(pretrained.SOURCES, about.weights, source)


def by_openai(state: State, quick: bool, embed: bool) -> nn.Module:
    """The image half of openai/CLIP (clip/model.py at d50d76d) with the weights of a file of the
    Hub: normalised images to embeddings, or to the class token behind the last norm. Where not
    `quick`, with GELU in the place of its QuickGELU."""
    import_torchvision()
    from torch_fidelity.feature_extractor_clip import VisionTransformer

    named = openai_state(state)
    width, _, _, patch = named["conv1.weight"].shape
    depth = sum(name.endswith("in_proj_weight") for name in named)
    network = VisionTransformer(224, patch, width, depth, width // 64, named["proj"].shape[1])
    network.load_state_dict(named)
    for block in [] if quick else network.transformer.resblocks:
        block.mlp.gelu = nn.GELU()
    network.proj = network.proj if embed else None
    return network.eval()


def openai_state(state: State) -> State:
    named = {openai_name(k): v for k, v in state.items() if k.startswith("vision_model.")}
    for prefix in sorted({k.partition("q_proj")[0] for k in named if "q_proj" in k}):
        for kind in ("weight", "bias"):
            three = [named.pop(f"{prefix}{x}_proj.{kind}") for x in "qkv"]
            named[f"{prefix}in_proj_{kind}"] = torch.cat(three)
    return named | {"proj": state["visual_projection.weight"].T}


def openai_name(name: str) -> str:
    for theirs, ours in RENAMED:
        name = re.sub(theirs, ours, name)
    return name


def by_pillow(images: Tensor, side: int, colour: tuple) -> Tensor:
    """Levels (B, 3, H, W) as torchvision's Resize, ToTensor and Normalize do to files."""
    arrays = images.permute(0, 2, 3, 1).numpy()
    resized = [Image.fromarray(a).resize((side, side), Image.Resampling.BICUBIC) for a in arrays]
    mean, deviation = (torch.tensor(values)[:, None, None] for values in colour)
    stacked = torch.from_numpy(np.stack([np.array(image) for image in resized]))
    return (stacked.permute(0, 3, 1, 2) / 255 - mean) / deviation
