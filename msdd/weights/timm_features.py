"""Features of networks that timm builds, from official files, behind the preprocessing of the
program whose distance is meant (`msdd.weights.representations`)."""

import importlib
import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from msdd.data.pixels import to_uint8
from msdd.weights.optional_imports import import_timm
from msdd.weights.representations import Timm
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

StateDict = dict[str, Tensor]


class TimmFeatures(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to features (B, D), in float32.

    state: tensors of the official file, by its names. MsddError where timm is not installed and
    for tensors of another network.
    """

    def __init__(self, state: StateDict, about: Timm) -> None:
        super().__init__()
        self.about, self.network = about, load(state, about)
        for name, values in zip(("mean", "deviation"), about.colour, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        images = RESIZES[self.about.resize](images, self.about.side)
        tokens = self.network.forward_features((images - self.mean) / self.deviation)
        return self.pool(tokens)

    def pool(self, tokens: Tensor) -> Tensor:
        if self.about.pool == "class":
            return tokens[:, 0]
        if self.about.pool == "mean":
            return tokens.mean((2, 3))
        if self.about.pool == "attention":
            return self.network.attn_pool(tokens)
        return F.normalize(self.network.forward_head(tokens))


def resize_pil(images: Tensor, side: int) -> Tensor:
    """Images in [-1, 1] as [0, 1], resized by Pillow on 8 bits, bicubic, as torchvision does for a
    folder."""
    arrays = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
    resized = [Image.fromarray(a).resize((side, side), Image.Resampling.BICUBIC) for a in arrays]
    stacked = torch.from_numpy(np.stack([np.asarray(image) for image in resized]))
    return stacked.permute(0, 3, 1, 2).to(images.device) / 255


def resize_square(images: Tensor, side: int) -> Tensor:
    """`resize_pil` of the square in the middle, as in cmmd-pytorch and its model (io_util.py)."""
    height, width = images.shape[-2:]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    return resize_pil(images[..., top : top + least, left : left + least], side)


def resize_torch(images: Tensor, side: int) -> Tensor:
    """Images in [-1, 1] as about [0, 1], bicubic and antialiased on floats, unless they are of that
    side."""
    images = (images + 1) / 2
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bicubic", antialias=True)


RESIZES = {"pil": resize_pil, "square": resize_square, "torch": resize_torch}


def load(state: StateDict, about: Timm) -> nn.Module:
    """timm's network with these weights, for images of any size where it is a transformer, unless
    `about.positions` are Meta's."""
    timm = import_timm(f"the network {about.model}")
    is_transformer = about.model.startswith("vit_")
    more = {"dynamic_img_size": True, "dynamic_img_pad": True} if is_transformer else {}
    if about.positions == "meta":
        more = {"img_size": about.side}
    if about.pool != "head":
        more["num_classes"] = 0
    with unfilled():
        network = timm.create_model(about.model, pretrained=False, **more)
    module = importlib.import_module(type(network).__module__)
    state = from_clip(state) if "visual_projection.weight" in state else state
    if about.positions == "meta":
        grid = network.patch_embed.grid_size[0]
        state = state | {"pos_embed": positions_for(grid, state["pos_embed"])}
    state = module.checkpoint_filter_fn(state, network)
    wanted = network.state_dict()
    used = {k: v for k, v in state.items() if k in wanted or not k.startswith("head.")}
    return load_strict(network, used)


def positions_for(grid: int, code: Tensor) -> Tensor:
    """DINOv2's position code (1, 1 + n^2, D) for grid x grid patches, (1, 1 + grid^2, D).

    As facebookresearch/dinov2 resizes it at every image (vision_transformer.py at 027a9ac): bicubic
    without antialiasing, by a factor of (grid + 0.1) / n. timm's antialiased code is another.
    """
    first, patches = code[:, :1], code[:, 1:]
    side = math.isqrt(patches.shape[1])
    square = patches.unflatten(1, (side, side)).permute(0, 3, 1, 2).float()
    factor = (grid + 0.1) / side
    resized = F.interpolate(square, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([first, resized.flatten(2).transpose(1, 2).to(code.dtype)], 1)


def from_clip(state: StateDict) -> StateDict:
    """timm's names for the image half of a CLIP of the Hugging Face Hub."""
    prefix = "vision_model.encoder.layers."
    renamed = {new: state[old] for old, new in NAMES.items()}
    renamed["cls_token"] = renamed["cls_token"].reshape(1, 1, -1)
    renamed["pos_embed"] = renamed["pos_embed"][None]
    renamed["head.bias"] = renamed["head.weight"].new_zeros(len(renamed["head.weight"]))
    depth = len({name.split(".")[3] for name in state if name.startswith(prefix)})
    for i in range(depth):
        for kind in ("weight", "bias"):
            for old, new in BLOCK.items():
                renamed[f"blocks.{i}.{new}.{kind}"] = state[f"{prefix}{i}.{old}.{kind}"]
            three = [state[f"{prefix}{i}.self_attn.{x}_proj.{kind}"] for x in "qkv"]
            renamed[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(three)
    return renamed


NAMES = {
    "vision_model.embeddings.class_embedding": "cls_token",
    "vision_model.embeddings.patch_embedding.weight": "patch_embed.proj.weight",
    "vision_model.embeddings.position_embedding.weight": "pos_embed",
    "vision_model.pre_layrnorm.weight": "norm_pre.weight",
    "vision_model.pre_layrnorm.bias": "norm_pre.bias",
    "vision_model.post_layernorm.weight": "norm.weight",
    "vision_model.post_layernorm.bias": "norm.bias",
    "visual_projection.weight": "head.weight",
}
BLOCK = {
    "self_attn.out_proj": "attn.proj",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
