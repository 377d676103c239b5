"""LPIPS and DreamSim of whole batches, without computing anything twice."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.data.pixels import as_floats, as_unit
from msdd.weights.fast_convolutions import fast_layers
from msdd.weights.features import enlarge
from msdd.weights.pretrained import folders
from msdd.weights.pretrained_networks import freeze, lpips_heads, lpips_slices
from msdd.weights.threads import by_threads

# What DreamSim's package looks for before it downloads anything.
DREAMSIM_FILES = (
    "dino_vitb16_pretrain.pth",
    "open_clip_vitb16_pretrain.pth.tar",
    "clip_vitb16_pretrain.pth.tar",
    "ensemble_lora",
)
# Of the images that a trunk sees at once: bounds memory, and keeps its maps near a CPU's cache.
CPU_PIXELS, GPU_PIXELS = {"alex": 2**19, "vgg": 2**16}, 2**22
SHIFT, SCALE = (-0.03, -0.088, -0.188), (0.458, 0.448, 0.45)  # of colours in [-1, 1]
BLOCK = 2**17  # numbers of a map that are compared at once on a CPU


class Lpips:
    """LPIPS v0.1 (Zhang et al. 2018), the distances of `lpips.LPIPS`.

    On a CPU the trunk's convolutions are those of `msdd.weights.fast_convolutions`.
    """

    def __init__(self, net: str, device: torch.device) -> None:
        parts, heads = lpips_slices(net), lpips_heads(net)
        fast = device.type == "cpu"
        self.pixels = CPU_PIXELS[net] if fast else GPU_PIXELS
        self.slices = [
            nn.Sequential(*fast_layers(part)) if fast else freeze(part, device) for part in parts
        ]
        self.heads = [
            heads[f"lin{k}.model.1.weight"].flatten(1).to(device) for k in range(len(parts))
        ]
        self.shift, self.scale = (
            torch.tensor(x, dtype=torch.float32, device=device)[:, None, None]
            for x in (SHIFT, SCALE)
        )

    @torch.inference_mode()
    def distances(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """LPIPS (B,) of each pair (original, reconstruction), uint8 or floats in [-1, 1].

        All are (B, 3, H, W). An original that stands in several pairs goes through the trunk once.
        Sides under 64 px are enlarged to 64 as in `msdd.weights.features.lpips_distance`.
        """
        count, _, height, width = pairs[0][0].shape
        size = max(1, self.pixels // (height * width))
        rows = [slice(k, k + size) for k in range(0, count, size)]
        chunks = by_threads(lambda some: self.of_chunk(pairs, some), rows, pairs[0][0].device)
        return [torch.cat(parts) for parts in zip(*chunks, strict=True)]

    def of_chunk(self, pairs: Sequence[tuple[Tensor, Tensor]], rows: slice) -> list[Tensor]:
        originals = {id(original): original for original, _ in pairs}
        maps = {key: self.maps(original[rows]) for key, original in originals.items()}
        return [self.distance(maps[id(a)], self.maps(b[rows])) for a, b in pairs]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Activations of every slice (B, C, positions)."""
        x, maps = enlarge(as_floats(images).float()).sub(self.shift).div_(self.scale), []
        for part in self.slices:
            x = part(x)
            maps.append(x.flatten(2))
        return maps

    def distance(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """(B,) from the activations of both sides."""
        layers = zip(self.heads, a, b, strict=True)
        return sum(of_layer(head, x, y) for head, x, y in layers).double()


def of_layer(head: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Means (B,) over positions of the weighted squares between vectors of unit length.

    head (1, C), a and b (B, C, positions), in blocks that stay in the cache of a CPU.
    """
    channels, positions = a.shape[1:]
    size = BLOCK // channels if a.device.type == "cpu" else positions
    count = max(1, size // positions) if a.device.type == "cpu" else len(a)
    blocks = zip(a.split(count), b.split(count), strict=True)
    sums = [of_block(head, x, y, max(1, size)) for x, y in blocks]
    return torch.cat(sums) / positions


def of_block(head: Tensor, a: Tensor, b: Tensor, size: int) -> Tensor:
    parts = zip(a.split(size, 2), b.split(size, 2), strict=True)
    return sum((head @ unit(x).sub_(unit(y)).square_()).sum((1, 2)) for x, y in parts)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (B, C, positions) at unit length."""
    return vectors / vectors.square().sum(1, keepdim=True).sqrt_().add_(1e-10)


class DreamSim:
    """DreamSim (Fu et al. 2023) of its own package, on images as they are, not resized to 224 px.

    That is how SSDD's code calls it, which also pads sides to powers of two with black.
    """

    def __init__(self, device: torch.device) -> None:
        from dreamsim import dreamsim

        folder = str(dreamsim_folder())
        self.network, _ = dreamsim(pretrained=True, device=device, cache_dir=folder)

    @torch.inference_mode()
    def distance(self, original: Tensor, reconstruction: Tensor) -> Tensor:
        """(B,) of images (B, 3, H, W), uint8 or floats in [-1, 1]."""
        return self.network(pad_sides(original), pad_sides(reconstruction)).flatten().double()


def pad_sides(images: Tensor) -> Tensor:
    """Floats in [0, 1] with sides that are powers of two."""
    below, right = ((1 << (side - 1).bit_length()) - side for side in images.shape[-2:])
    return F.pad(as_unit(images), (0, right, 0, below))


def dreamsim_folder() -> Path | None:
    """The folder `dreamsim` in one of `msdd.weights.pretrained.folders` that has all its files."""
    candidates = (folder / "dreamsim" for folder in folders())
    return next((f for f in candidates if all((f / n).exists() for n in DREAMSIM_FILES)), None)


def without_dreamsim() -> str | None:
    """Why DreamSim cannot be measured here; None if it can."""
    if importlib.util.find_spec("dreamsim") is None:
        return "the package dreamsim is not installed"
    if dreamsim_folder() is None:
        return (
            f"its weights are not here: put {', '.join(DREAMSIM_FILES)} of its download into "
            + ", or into ".join(str(folder / "dreamsim") for folder in folders())
        )
    return None
