"""REPA (Yu et al. 2024), which SSDD trains with: the decoder learns to tell what DINOv2 sees.

An MLP reads DINOv2's features of the clean image out of the noisy image's, in the middle of the
U-ViT. It learns with the networks and is forgotten after the training.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.errors import MsddError
from msdd.files import digest
from msdd.model.uvit import UViT
from msdd.params.sections import Repa as Settings
from msdd.weights import official
from msdd.weights.features import standardised
from msdd.weights.optional_imports import import_timm
from msdd.weights.strict import load_strict

NAME = "repa"  # of the MLP among the networks that are trained


class Repa(nn.Module):
    """The MLP; it keeps what the `block`-th block of the U-ViT's middle put out last.

    seeing: DINOv2 by timm, frozen; not a part of this module.
    """

    def __init__(self, uvit: UViT, block: int, seeing: nn.Module) -> None:
        super().__init__()
        middle = uvit.mid_block
        width, wanted = middle.proj_in.out_features, seeing.embed_dim
        self.mlp = nn.Sequential(nn.Linear(width, wanted), nn.SiLU(), nn.Linear(wanted, wanted))
        self.features = lambda images, grid: patch_features(seeing, images, grid)
        middle.transformer_blocks[block - 1].register_forward_hook(self.keep)

    def keep(self, block: nn.Module, inputs: tuple, tokens: Tensor) -> None:
        self.kept = tokens

    def forward(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        """1 - cosine (B,) between the MLP of what was kept and the features of images (B, 3, R, R).

        grid: rows and columns of the U-ViT's middle, which DINOv2 is given images for.
        """
        told, seen = self.mlp(self.kept), self.features(images, grid)
        return 1 - F.cosine_similarity(told.float(), seen, dim=-1).mean(1)


@torch.no_grad()
def patch_features(network: nn.Module, images: Tensor, grid: tuple[int, int]) -> Tensor:
    """DINOv2's features (B, rows columns, width) of images (B, 3, H, W) in [-1, 1], one a patch."""
    patch = network.patch_embed.patch_size
    size = [count * side for count, side in zip(grid, patch, strict=True)]
    images = F.interpolate(images.float(), size, mode="bicubic", antialias=True)
    return network.forward_features(standardised(images))[:, network.num_prefix_tokens :].float()


def dinov2(settings: Settings, root: Path) -> nn.Module:
    """The network of timm's name with the weights of the file, for images of any size; frozen.

    Raises MsddError if the file is not there, has another digest or does not fit the name.
    """
    path = root / settings.file
    state = official.read(path)
    if (found := digest(path)) != settings.sha256:
        raise MsddError(f"stage1.repa.sha256 is {settings.sha256}, but {path} has {found}")
    timm = import_timm("stage1.repa")
    if not timm.is_model(settings.model):
        raise MsddError(f"stage1.repa.model: timm has no '{settings.model}'")
    with torch.device("meta"):
        network = timm.create_model(settings.model, num_classes=0, dynamic_img_size=True)
    try:
        return load_strict(network, state)
    except MsddError as error:
        raise MsddError(f"stage1.repa.file {path}: {error}") from error
