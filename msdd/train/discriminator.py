"""Discriminators of images: small trained heads on frozen features, or a patch network on pixels.

All are called alike, `logits = discriminator(images)`: images (B, 3, H, W) in [-1, 1] to logits
(B, L), high for real. Their parameters are only those that are trained: the frozen network is no
submodule, so that `parameters`, `state_dict`, `train` and `requires_grad_` never reach it, and it
stays on the device it was loaded on. Gradients pass through it to the images.

On a CPU they compute in float32 also under autocast: with bfloat16, oneDNN's input gradient of a
strided convolution ends the process by an illegal instruction on processors with AMX (torch 2.13).
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.errors import MsddError, known_names
from msdd.weights import pretrained
from msdd.weights.features import enlarge, standardise
from msdd.weights.optional_imports import import_timm
from msdd.weights.pretrained_networks import TRUNKS, freeze, lpips_network
from msdd.weights.unfilled import unfilled

SLOPE = 0.2  # of LeakyReLU
KERNEL = 9  # of the circular convolution along the positions
DINO_SIDE = 224  # pixels
DINO_DEPTHS = (2, 5, 8, 11)  # blocks whose output is judged, besides the input tokens
DINO = "vit_small_patch16_224.dino"  # timm's name

Features = Callable[[Tensor], list[Tensor]]  # images -> maps (B, C, L), one for each head


class Residual(nn.Module):
    """(fn(x) + x) / sqrt 2, which keeps the variance of independent summands."""

    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return (self.fn(x) + x) / math.sqrt(2)


class SpectralConv1d(nn.Conv1d):
    """Circular convolution that keeps the length, with a spectrally normalised weight."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1) -> None:
        super().__init__(inputs, outputs, kernel)
        prepare_spectral(self)

    def forward(self, x: Tensor) -> Tensor:
        reach = self.kernel_size[0] // 2
        x = F.pad(x, (reach, reach), mode="circular") if reach else x
        return F.conv1d(x, spectral_weight(self), self.bias)


class SpectralConv2d(nn.Conv2d):
    """Zero-padded convolution with a spectrally normalised weight."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2)
        prepare_spectral(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, spectral_weight(self), self.bias, self.stride, self.padding)


def prepare_spectral(convolution: nn.Module) -> None:
    """Keep the weight as `weight_orig`, beside estimates of its first singular vectors.

    The names of `torch.nn.utils.spectral_norm`, which published heads are stored under.
    """
    weight = convolution.weight
    del convolution.weight
    convolution.weight_orig = weight
    rows, columns = weight.flatten(1).shape
    convolution.register_buffer("weight_u", F.normalize(torch.randn(rows), dim=0))
    convolution.register_buffer("weight_v", F.normalize(torch.randn(columns), dim=0))


def spectral_weight(convolution: nn.Module) -> Tensor:
    """The weight, as a matrix of one row an output, divided by its largest singular value.

    Miyato et al. 2018: one power iteration in training mode, none in evaluation. In float32 also
    under autocast, where a singular value of 8 bits would make the weight flicker.
    """
    u, v, weight = convolution.weight_u, convolution.weight_v, convolution.weight_orig
    with torch.autocast(weight.device.type, enabled=False):
        matrix = weight.flatten(1)
        if convolution.training:
            with torch.no_grad():
                v.copy_(F.normalize(matrix.T @ u, dim=0, eps=1e-12))
                u.copy_(F.normalize(matrix @ v, dim=0, eps=1e-12))
        # Copies, because the next call changes u and v before this one's backward needs them.
        return weight / (u.clone() @ (matrix @ v.clone()))


def head(channels: int, kernel: int = KERNEL) -> nn.Sequential:
    """Features (B, C, L) to logits (B, 1, L), by the authors' names and order of modules."""
    return nn.Sequential(
        block(channels, 1), Residual(block(channels, kernel)), SpectralConv1d(channels, 1)
    )


def block(channels: int, kernel: int) -> nn.Sequential:
    """Features (B, C, L) to features of the same shape: convolution, batch norm, LeakyReLU."""
    return nn.Sequential(
        SpectralConv1d(channels, channels, kernel),
        nn.BatchNorm1d(channels, eps=1e-6),
        nn.LeakyReLU(SLOPE),
    )


class FeatureDiscriminator(nn.Module):
    """One head on each map of frozen features; the logits of all heads, concatenated.

    The heads of the authors' code, after the VAR and StyleGAN-T family; the state dict has the
    authors' names (`heads.<i>...`). In training mode each call makes one power iteration and
    normalises by its own batch, so real and fake images go in separate calls. The authors share
    batch statistics over processes: wrap by `nn.SyncBatchNorm.convert_sync_batchnorm` there.

    features: frozen, from images to maps (B, C, L) with L >= kernel // 2.
    channels: C of each map.
    """

    def __init__(self, features: Features, channels: Sequence[int], kernel: int = KERNEL) -> None:
        super().__init__()
        self.features = features
        self.heads = nn.ModuleList(head(count, kernel) for count in channels)

    @torch.autocast("cpu", enabled=False)
    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        judged = [head(x).flatten(1) for head, x in zip(self.heads, maps, strict=True)]
        return torch.cat(judged, dim=1)


class PatchDiscriminator(nn.Module):
    """A few convolutions on pixels: one logit for each 4x4 patch, which sees 18x18 pixels.

    No pretrained network and about 35,000 parameters, for small images and few photographs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            SpectralConv2d(3, 32, kernel=4, stride=2),
            nn.LeakyReLU(SLOPE),
            SpectralConv2d(32, 64, kernel=4, stride=2),
            nn.LeakyReLU(SLOPE),
            SpectralConv2d(64, 1, kernel=3, stride=1),
        )

    @torch.autocast("cpu", enabled=False)
    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images.float()).flatten(1)


class DinoFeatures:
    """Token maps of DINO's ViT (Caron et al. 2021): the input tokens and four blocks' outputs.

    The class token is added to every patch token; 196 positions. Each call crops or resizes its
    whole batch to 224 px, at random (torch's global generator on the CPU).
    network: a timm VisionTransformer for 224 px without the final norm in use; frozen.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, images: Tensor) -> list[Tensor]:
        images = crop_or_resize(images.float(), DINO_SIDE)
        tokens = self.network.patch_embed(standardise(images))
        start = self.network.cls_token.expand(len(tokens), -1, -1)
        tokens = torch.cat([start, tokens], dim=1) + self.network.pos_embed
        seen = [tokens]
        for depth, layer in enumerate(self.network.blocks):
            tokens = layer(tokens)
            if depth in DINO_DEPTHS:
                seen.append(tokens)
        return [(x[:, 1:] + x[:, :1]).transpose(1, 2) for x in seen]


def crop_or_resize(images: Tensor, side: int) -> Tensor:
    """Images (B, 3, H, W) as (B, 3, side, side): larger ones are cropped every other time."""
    height, width = images.shape[-2:]
    if min(height, width) > side and torch.rand(()) < 0.5:
        top = int(torch.randint(height - side + 1, ()))
        left = int(torch.randint(width - side + 1, ()))
        return images[..., top : top + side, left : left + side]
    return F.interpolate(images, (side, side), mode="area" if height > side else "bicubic")


class LpipsFeatures:
    """The five feature maps that LPIPS compares, as (B, C, L); images under 64 px are enlarged.

    network: `msdd.weights.pretrained_networks.lpips_network`, perhaps that of the LPIPS loss.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, images: Tensor) -> list[Tensor]:
        maps = self.network.net(self.network.scaling_layer(enlarge(images.float())))
        return [x.flatten(2) for x in maps]


def discriminator(features: str, device: str | torch.device = "cpu") -> nn.Module:
    """A discriminator with fresh weights from torch's global generator, on the device.

    features: `dino` (the paper's, needs timm), `alex` or `vgg` (trunks of LPIPS) or `patch` (none).
    MsddError when the name is unknown or pretrained weights cannot be had.
    """
    if features == "patch":
        return PatchDiscriminator().to(device)
    if features == "dino":
        network = dino_network(device)
        channels = [network.embed_dim] * (1 + len(DINO_DEPTHS))
        made = FeatureDiscriminator(DinoFeatures(network), channels)
    elif features in TRUNKS:
        network = lpips_network(features, device)
        made = FeatureDiscriminator(LpipsFeatures(network), network.chns)
    else:
        told = known_names(features, ["dino", *TRUNKS, "patch"])
        raise MsddError(f"discriminator '{features}' is unknown; {told}")
    return made.to(device)


def dino_network(device: str | torch.device = "cpu") -> nn.Module:
    """DINO's ViT-S/16 by timm, frozen, with the published weights. Touches no random state."""
    timm = import_timm("discriminator 'dino'")
    state = pretrained.tensors("dino-vit-s16")
    with unfilled():
        network = timm.create_model(DINO, num_classes=0)
    network.load_state_dict(state, assign=True)
    return freeze(network, device)
