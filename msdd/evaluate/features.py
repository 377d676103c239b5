"""What pretrained networks see: LPIPS distances and the features of Fréchet distances."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.vision import import_torchvision

SMALLEST = 64  # pixels a side for LPIPS; AlexNet's trunk fails below 31


def lpips_distance(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """LPIPS (B,) of square images a, b (B, 3, H, W) in [-1, 1]; differentiable in both.

    network: from `msdd.weights.lpips_network`. Images under 64 px are enlarged to 64 by nearest
    neighbour, so figures of small images compare only among themselves. In float32 on a CPU, where
    the gradient of AlexNet's strided convolution in bfloat16 ends the process on some processors.
    """
    with torch.autocast("cpu", enabled=False):
        return network(enlarge(a.float()), enlarge(b.float())).flatten()


def enlarge(images: Tensor) -> Tensor:
    size = [max(SMALLEST, side) for side in images.shape[-2:]]
    return images if size == list(images.shape[-2:]) else F.interpolate(images, size)


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 up to its pooling: images (B, 3, H, W) in [-1, 1] to (B, 1280).

    Images are resized to 224 px, bilinear and antialiased, and normalised by ImageNet's mean and
    deviation. state: tensors by the names of efficientnet-lite-pytorch.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        with torch.device("meta"):
            self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(state, assign=True)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images, (224, 224), mode="bilinear", antialias=True)
        images = ((images + 1) / 2 - self.mean) / self.deviation
        return self.network.extract_features(images).mean((2, 3))


class Inception(nn.Module):
    """InceptionV3 of FID by pytorch_fid: images (B, 3, H, W) in [-1, 1] to (B, 2048).

    Images are resized to 299 px, bilinear without antialiasing, as pytorch_fid does.
    state: tensors by the names of pytorch_fid's weight file.
    """

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = fid_inception(state)

    def forward(self, images: Tensor) -> Tensor:
        return self.network((images + 1) / 2)[0].flatten(1)


def fid_inception(state: dict[str, Tensor]) -> nn.Module:
    """pytorch_fid's InceptionV3 from these tensors; its constructor can only download them."""
    import_torchvision()
    from pytorch_fid import inception

    original = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        return inception.InceptionV3()
    finally:
        inception.load_state_dict_from_url = original
