"""LPIPS distance, and the feature networks Inception and EfficientNet-Lite."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.data.pixels import to_uint8
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.unfilled import unfilled

SMALLEST = 64  # pixels a side for LPIPS; AlexNet's trunk fails below 31
SIDE = 299  # pixels a side for Inception


def lpips_distance(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """LPIPS (B,) of square images a, b (B, 3, H, W) in [-1, 1]; differentiable in both.

    network: `msdd.weights.pretrained_networks.lpips_network`. Images under 64 px are enlarged to 64
    by nearest neighbour, so figures of small images compare only among themselves. In
    float32 on a CPU, where the gradient of AlexNet's strided convolution in bfloat16 ends the
    process on some processors.
    """
    with torch.autocast("cpu", enabled=False):
        return network(enlarge(a.float()), enlarge(b.float())).flatten()


def enlarge(images: Tensor) -> Tensor:
    """Images (B, C, H, W) with sides under 64 px enlarged to 64, by nearest neighbour."""
    size = [max(SMALLEST, side) for side in images.shape[-2:]]
    return images if size == list(images.shape[-2:]) else F.interpolate(images, size)


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite up to its pooling: images (B, 3, H, W) in [-1, 1] to (B, 1280).

    Images are resized to `side`, bilinear and antialiased, and normalised as the networks were
    trained, by `lite_levels`. state: tensors by the names of efficientnet-lite-pytorch, of the
    network of that name; its published sides are 224 px (Lite0) and 260 px (Lite2).
    """

    dimensions = 1280

    def __init__(
        self, state: dict[str, Tensor], name: str = "efficientnet-lite0", side: int = 224
    ) -> None:
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        with unfilled():
            self.network = EfficientNet.from_name(name)
        self.network.load_state_dict(state, assign=True)
        self.side = side

    def forward(self, images: Tensor) -> Tensor:
        size = (self.side, self.side)
        images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return self.network.extract_features(lite_levels(images)).mean((2, 3))


class Inception(nn.Module):
    """InceptionV3 of FID by pytorch_fid: images (B, 3, H, W) in [-1, 1] to (B, 2048).

    state: tensors by the names of pytorch_fid's weight file. resize: one of RESIZES.
    """

    dimensions = 2048

    def __init__(self, state: dict[str, Tensor], resize: str = "pytorch_fid") -> None:
        super().__init__()
        self.network, self.resize = fid_inception(state), RESIZES[resize]

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.resize(images))[0].flatten(1)


def fid_inception(state: dict[str, Tensor]) -> nn.Module:
    """pytorch_fid's InceptionV3 from these tensors, for images of 299 px in [-1, 1].

    Its constructor can only download them.
    """
    import_torchvision()
    from pytorch_fid import inception

    original = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        return inception.InceptionV3(resize_input=False, normalize_input=False)
    finally:
        inception.load_state_dict_from_url = original


def resize_pytorch_fid(images: Tensor) -> Tensor:
    """Bilinear between pixel centres, without antialiasing, on values in [0, 1]."""
    return 2 * bilinear((images + 1) / 2) - 1


def resize_tf1(images: Tensor) -> Tensor:
    """TensorFlow 1's bilinear resize, whose pixel i of n lies at i/n and not at (i + 1/2)/n.

    The network of 2015 was trained with it. As in torch-fidelity its input is 8-bit levels, hence
    the rounding, scaled as (level - 128) / 128: up to a level darker than in pytorch_fid.
    """
    return (stretch(stretch(levels(images), 3), 2) - 128) / 128


def resize_antialias(images: Tensor) -> Tensor:
    """Bilinear between pixel centres, antialiased, on 8-bit levels scaled as by `resize_tf1`.

    The default of torchmetrics from version 1.8.0; earlier versions resize as `resize_tf1`.
    """
    return (bilinear(levels(images), antialias=True) - 128) / 128


def resize_unrounded(images: Tensor) -> Tensor:
    """Resize as TensorFlow 1 does, on floats scaled as 2 x - 1: the rule of FD-loss and its FDr."""
    return 2 * stretch(stretch((images + 1) / 2, 3), 2) - 1


RESIZES = {
    "pytorch_fid": resize_pytorch_fid,
    "tf1": resize_tf1,
    "antialias": resize_antialias,
    "unrounded": resize_unrounded,
}


def levels(images: Tensor) -> Tensor:
    """[-1, 1] to 0..255, the nearest level, as floats."""
    return to_uint8(images).float()


def bilinear(images: Tensor, antialias: bool = False) -> Tensor:
    """Images (B, C, H, W) at 299 x 299 px, bilinear between pixel centres."""
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=antialias)


def stretch(images: Tensor, dim: int) -> Tensor:
    """One dimension to SIDE pixels as TensorFlow 1 does; the last pixel is repeated."""
    size = images.shape[dim]
    scale = torch.full((), size / SIDE, dtype=torch.float32, device=images.device)  # as there
    place = torch.arange(SIDE, device=images.device) * scale
    low = place.long()
    share = (place - low).view(-1, *[1] * (3 - dim))
    a = images.index_select(dim, low)
    b = images.index_select(dim, (low + 1).clamp(max=size - 1))
    return a + (b - a) * share


def lite_levels(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] as EfficientNet-Lite takes them, (level - 127) / 128
    (tensorflow/tpu, efficientnet/lite/efficientnet_lite_builder.py)."""
    return (images * 127.5 + 0.5) / 128


def standardise(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1], shifted and scaled to ImageNet's mean 0 and deviation 1."""
    mean, deviation = (
        colour(*levels, images.device) for levels in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return ((images + 1) / 2 - mean) / deviation


def colour(red: float, green: float, blue: float, device: torch.device) -> Tensor:
    """(3, 1, 1), filled on the device: a copy would wait for all that a GPU was asked before."""
    of = {"dtype": torch.float32, "device": device}
    return torch.stack([torch.full((1, 1), level, **of) for level in (red, green, blue)])
