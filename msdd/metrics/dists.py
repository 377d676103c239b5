"""DISTS: structure and texture similarity of deep features (Ding et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from msdd.data.pixels import as_unit
from msdd.weights.fast_convolutions import FastConvolution
from msdd.weights.pretrained import tensors
from msdd.weights.threads import by_threads

CHANNELS = (3, 64, 128, 256, 512, 512)  # of the image, and of the last layer of each stage
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # convolutions of VGG16
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STABLE = 1e-6
CPU_PIXELS, GPU_PIXELS = 2**17, 2**22  # of the images that the trunk sees at once: bounds memory


class Dists:
    """The distances of `DISTS_pytorch.DISTS` 0.1, on images as they are, not resized to 256 px.

    The trunk is that of LPIPS vgg, with means of squares in place of maxima between its stages.
    """

    def __init__(self, device: torch.device) -> None:
        trunk = {name: x.to(device) for name, x in tensors("vgg16").items()}
        self.layers = {layer: convolution(trunk, layer) for stage in STAGES for layer in stage}
        weights = tensors("dists")
        weights = {name: x.flatten().double().to(device) for name, x in weights.items()}
        total = weights["alpha"].sum() + weights["beta"].sum()
        self.alpha, self.beta = (
            (weights[name] / total).split(CHANNELS) for name in ("alpha", "beta")
        )
        self.mean, self.deviation = (
            torch.tensor(x, dtype=torch.float32, device=device)[:, None, None]
            for x in (MEAN, DEVIATION)
        )
        self.pixels = CPU_PIXELS if device.type == "cpu" else GPU_PIXELS

    @torch.inference_mode()
    def distance(self, original: Tensor, reconstruction: Tensor) -> Tensor:
        """(B,) of images (B, 3, H, W), uint8 or floats in [-1, 1]; float64, 0 for equal ones."""
        size = max(1, self.pixels // original[0, 0].numel())
        pairs = zip(original.split(size), reconstruction.split(size), strict=True)
        distances = by_threads(
            lambda pair: self.of_chunk(*map(as_unit, pair)), pairs, original.device
        )
        return torch.cat(distances)

    def of_chunk(self, a: Tensor, b: Tensor) -> Tensor:
        similarity: Tensor | float = 0.0
        x, y = ((images - self.mean) / self.deviation for images in (a, b))
        for alpha, beta, layer in zip(self.alpha, self.beta, range(len(CHANNELS)), strict=True):
            if layer:
                x, y = (self.stage(layer - 1, images) for images in (x, y))
                a, b = x, y
            texture, structure = similarities(a, b)
            similarity = similarity + texture @ alpha + structure @ beta
        return 1 - similarity

    def stage(self, number: int, images: Tensor) -> Tensor:
        x = root_mean_square(images) if number else images
        for layer in STAGES[number]:
            x = self.layers[layer](x)
        return x


def convolution(trunk: dict[str, Tensor], layer: int) -> FastConvolution:
    weight, bias = (trunk[f"features.{layer}.{part}"] for part in ("weight", "bias"))
    return FastConvolution(weight, bias, (1, 1), (1, 1))


def similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """DISTS's similarities of texture (means over positions) and of structure (covariances), both
    (B, C), float64."""
    a, b = a.flatten(2), b.flatten(2)
    mean_a, mean_b = a.mean(2, keepdim=True), b.mean(2, keepdim=True)
    a, b = a - mean_a, b - mean_b
    mean_a, mean_b = mean_a[..., 0].double(), mean_b[..., 0].double()
    covariance, variances = (a * b).mean(2).double(), (a.square() + b.square()).mean(2).double()
    texture = (2 * mean_a * mean_b + STABLE) / (mean_a.square() + mean_b.square() + STABLE)
    return texture, (2 * covariance + STABLE) / (variances + STABLE)


def root_mean_square(x: Tensor) -> Tensor:
    """Half as large: the root of squares averaged by a Hann window of 3 x 3."""
    channels = x.shape[1]
    ends = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    window = torch.outer(ends, ends).expand(channels, 1, 3, 3)
    return (F.conv2d(x.square(), window, stride=2, padding=1, groups=channels) + 1e-12).sqrt_()
