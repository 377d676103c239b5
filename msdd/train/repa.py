"""REPA (Yu et al. 2024), which SSDD trains with: the decoder learns to predict DINOv2's features.

An MLP predicts DINOv2's features of the clean image from what a block in the middle of the U-ViT
computes of the noisy one. It is trained with the networks and not exported.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.model.uvit import UViT
from msdd.params.sections import Repa as Settings
from msdd.weights import official
from msdd.weights.features import standardise
from msdd.weights.optional_imports import import_timm
from msdd.weights.strict import load_strict
from msdd.weights.unfilled import unfilled

NAME = "repa"  # of the MLP among the networks that are trained


class Repa(nn.Module):
    """The MLP on the last output of a transformer block of the U-ViT.

    block:    number of the block in the U-ViT's middle, from 1.
    teacher:  DINOv2 by timm, frozen; not a part of this module.
    """

    def __init__(self, uvit: UViT, block: int, teacher: nn.Module) -> None:
        super().__init__()
        middle = uvit.mid_block
        width, target = middle.proj_in.out_features, teacher.embed_dim
        self.mlp = nn.Sequential(nn.Linear(width, target), nn.SiLU(), nn.Linear(target, target))
        self.features = lambda images, grid: patch_features(teacher, images, grid)
        middle.transformer_blocks[block - 1].register_forward_hook(self.keep)

    def keep(self, block: nn.Module, inputs: tuple, output: Tensor) -> None:
        self.tokens = output

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """1 - cosine (B,), averaged over positions, between the prediction and DINOv2's features.

        images: the clean images (B, 3, R, R) of the last forward pass of the U-ViT.
        grid:   rows and columns of the U-ViT's middle; images are resized to as many patches.
        """
        predicted, target = self.mlp(self.tokens), self.features(images, grid)
        return 1 - F.cosine_similarity(predicted.float(), target, dim=-1).mean(1)


@torch.no_grad()
def patch_features(network: nn.Module, images: Tensor, grid: tuple[int, int]) -> Tensor:
    """DINOv2's features (B, rows * columns, width) of images (B, 3, H, W) in [-1, 1].

    grid: rows and columns of patches; the images are resized to them, bicubic and antialiased.
    """
    patch = network.patch_embed.patch_size
    size = [count * side for count, side in zip(grid, patch, strict=True)]
    images = F.interpolate(images.float(), size, mode="bicubic", antialias=True)
    return network.forward_features(standardise(images))[:, network.num_prefix_tokens :].float()


def dinov2(settings: Settings, root: Path) -> nn.Module:
    """The network of timm's name with the weights of a file, for images of any size; frozen.

    settings.file is relative to `root`. Raises MsddError if the file is missing, has another digest
    or does not fit, and if timm is missing or does not know the name.
    """
    path, state = official.read_pinned(settings.file, settings.sha256, root, "stage1.repa")
    timm = import_timm("stage1.repa")
    if not timm.is_model(settings.model):
        raise MsddError(f"stage1.repa.model: timm has no '{settings.model}'")
    with unfilled():
        network = timm.create_model(settings.model, num_classes=0, dynamic_img_size=True)
    try:
        return load_strict(network, state)
    except MsddError as error:
        raise MsddError(f"stage1.repa.file {path}: {error}") from error
