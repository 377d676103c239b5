"""Pretrained networks that images are measured with: LPIPS, and those that make features."""

import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from msdd.errors import MsddError, known_names
from msdd.weights import official, pretrained, trunks
from msdd.weights.features import RESIZES, EfficientNetLite, Inception
from msdd.weights.optional_imports import import_torchvision
from msdd.weights.representations import REPRESENTATIONS
from msdd.weights.timm_features import TimmFeatures
from msdd.weights.unfilled import unfilled
from msdd.weights.weight_sources import StateDict

TRUNKS = {"alex": "alexnet", "vgg": "vgg16"}
LITE_SIDES = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}  # pixels, as published


def lpips_network(net: str, device: str | torch.device = "cpu") -> nn.Module:
    """LPIPS v0.1 (Zhang et al. 2018) as `lpips.LPIPS`, frozen, in eval mode.

    net: `alex` or `vgg`. Use it through `msdd.weights.features.lpips_distance`, which takes small
    images too. MsddError when the weights cannot be had. Touches no random state.
    """
    if net not in TRUNKS:
        raise MsddError(f"lpips '{net}' is unknown; {known_names(net, TRUNKS)}")
    weights = pretrained.tensors(TRUNKS[net])
    import_torchvision()
    import lpips

    with unfilled(), warnings.catch_warnings(action="ignore"):  # of torchvision's API
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False)
    weights |= lpips_heads(net)
    weights |= network.scaling_layer.state_dict(prefix="scaling_layer.")
    state = {name: weights[official_name(name)] for name in network.state_dict()}
    network.load_state_dict(state, assign=True)
    return freeze(network, device)


def lpips_slices(net: str) -> list[nn.Sequential]:
    """The trunk of `alex` or `vgg` as LPIPS cuts it, frozen, on the CPU; without torchvision."""
    return trunks.slices(net, pretrained.tensors(TRUNKS[net]))


def lpips_heads(net: str) -> StateDict:
    """The weights of LPIPS v0.1's channels, (1, C, 1, 1) by name, without importing the package."""
    folder = Path(find_spec("lpips").origin).with_name("weights")
    return official.read(folder / "v0.1" / f"{net}.pth")


def official_name(name: str) -> str:
    """The published name of a tensor of lpips.LPIPS: it slices the trunk and lists heads twice."""
    name = re.sub(r"^net\.slice\d+\.", "features.", name)
    return re.sub(r"^lins\.(\d+)\.", r"lin\1.", name)


def feature_network(
    name: str, device: str | torch.device = "cpu", resize: str | None = None
) -> nn.Module:
    """A frozen network from images (B, 3, H, W) in [-1, 1] to pooled features (B, D).

    name: of `msdd.weights.representations`, which says what each resizes and normalises by. Of
    `inception` (D = 2048, the features of FID) `resize` says how, one of
    `msdd.weights.features.RESIZES`, by default as pytorch_fid does. MsddError when a name is
    unknown or the weights cannot be had.
    """
    if name not in REPRESENTATIONS:
        raise MsddError(f"features '{name}' are unknown; {known_names(name, REPRESENTATIONS)}")
    if resize is None:
        return freeze(representation(name), device)
    if name != "inception" or resize not in RESIZES:
        raise MsddError(f"{name}: no resize '{resize}'; inception has {', '.join(RESIZES)}")
    return freeze(Inception(pretrained.tensors(name), resize), device)


def representation(name: str) -> nn.Module:
    """The network of that name with its weights."""
    about = REPRESENTATIONS[name]
    state = pretrained.tensors(about.weights)
    if about.timm:
        return TimmFeatures(state, about.timm)
    if about.weights == "inception":
        return Inception(state, "unrounded" if name == "fdr-inception" else "pytorch_fid")
    return EfficientNetLite(state, name, LITE_SIDES[name])


def freeze(network: nn.Module, device: str | torch.device) -> nn.Module:
    """The network on a device, in eval mode, without gradients of its own, channels last."""
    network = network.eval().requires_grad_(False)
    return network.to(device, memory_format=torch.channels_last)
