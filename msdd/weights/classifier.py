"""The ImageNet classifier EfficientNet-Lite0, with its head."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.weights.features import lite_levels
from msdd.weights.pretrained import tensors
from msdd.weights.pretrained_networks import freeze
from msdd.weights.unfilled import unfilled

SIDE, PADDING = 224, 32  # of the network's input; of the border that is cut off at that size


class Classifier(nn.Module):
    """EfficientNet-Lite0 (75.1 % top-1 as published): images (B, 3, H, W) in [-1, 1] to logits
    (B, 1000), one a class of ImageNet-1K in the order of WordNet ids.

    Prepared as by its authors (tensorflow/tpu, efficientnet/preprocessing.py and
    lite/efficientnet_lite_builder.py): the central square of 224 / 256 of the shorter side, resized
    to 224 px, bicubic, and (level - 127) / 128. Where that is smaller than 224 px it is enlarged;
    where it is larger, it is antialiased, as Pillow does.
    """

    def __init__(self) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        with unfilled():
            self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(tensors("efficientnet-lite0"), assign=True)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(lite_levels(resized(central(images))))


def central(images: Tensor) -> Tensor:
    """The central square of SIDE / (SIDE + PADDING) of the shorter side."""
    height, width = images.shape[-2:]
    side = int(SIDE / (SIDE + PADDING) * min(height, width))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    return images[..., top : top + side, left : left + side]


def resized(images: Tensor) -> Tensor:
    if images.shape[-1] == SIDE:
        return images
    made = F.interpolate(images, (SIDE, SIDE), mode="bicubic", antialias=True)
    return made.clamp(-1, 1)


def classifier(device: str | torch.device) -> nn.Module:
    """The frozen network on a device. MsddError where its weights cannot be had."""
    return freeze(Classifier(), device)
