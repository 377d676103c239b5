"""One pass of reconstructions over held-out crops, and every metric of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from msdd.data.shards import Crops
from msdd.device import arithmetic, clock
from msdd.evaluate.features import lpips_distance
from msdd.evaluate.frechet import Moments, frechet_distance
from msdd.evaluate.intervals import bootstrap
from msdd.evaluate.metrics import check_finite, from_uint8, psnr, ssim, to_uint8
from msdd.params import Evaluate
from msdd.progress import Progress
from msdd.weights import feature_network, lpips_network

SAMPLES = 16  # reconstructions kept for looking
FEATURE_BATCH = 8  # on a CPU larger batches of the feature network are slower


class Tokenizer(Protocol):
    """What can be measured. The seed and an image's id decide the noise of its decoding."""

    def encode(self, images: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor, ids: Sequence[int], seed: int) -> Tensor: ...


@dataclass
class Measurement:
    """Metrics of each image in the order of `ids`, the Fréchet distance, and the decode times."""

    ids: list[int] = field(default_factory=list)
    per_image: dict[str, list[float]] = field(default_factory=dict)
    distance: dict[str, float] = field(default_factory=dict)
    samples: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Means with 95 % intervals over images, and the distances."""
        means = {name: interval(values) for name, values in self.per_image.items()}
        return {**means, **self.distance}


def interval(values: list[float]) -> dict[str, float]:
    return dict(zip(("mean", "low", "high"), bootstrap(values), strict=True))


def measure(
    name: str,
    tokenizer: Tokenizer,
    crops: Crops,
    settings: Evaluate,
    seed: int,
    device: torch.device,
) -> Measurement:
    """Reconstruct the first `settings.images` crops (0: all) and measure them.

    Both sides are rounded to 8 bits first. Raises MsddError naming an image whose reconstruction
    holds NaN or infinity.
    """
    networks = {f"lpips_{net}": lpips_network(net, device) for net in settings.lpips}
    features = feature_network(settings.features, device)
    result, real, made = Measurement(), Sums(features), Sums(features)
    total = settings.images or len(crops)
    with Progress(f"evaluate {name}", min(total, len(crops))) as progress:
        for ids, originals in batches(crops, total, settings.batch):
            images = originals.to(device)
            with arithmetic(settings.precision, device):
                latents = tokenizer.encode(from_uint8(images))
                started = clock(device)
                decoded = tokenizer.decode(latents, ids, seed)
                result.seconds.append(clock(device) - started)
            check_finite(decoded, ids)
            decoded = to_uint8(decoded)
            add(result, ids, images, decoded, networks)
            real.update(images)
            made.update(decoded)
            progress.update(len(result.ids), psnr=float(np.mean(result.per_image["psnr"])))
    key = "fd_" + settings.features.replace("-", "_")
    result.distance[key] = frechet_distance(real.moments, made.moments)
    return result


def batches(crops: Crops, total: int, batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """Ids and uint8 images (B, 3, R, R) of the first `total` crops."""
    count = min(total, len(crops))
    for start in range(0, count, batch):
        ids = list(range(start, min(start + batch, count)))
        yield ids, crops.batch(np.array(ids))


@torch.inference_mode()
def add(
    result: Measurement,
    ids: list[int],
    images: Tensor,
    decoded: Tensor,
    networks: dict[str, nn.Module],
) -> None:
    """Take one batch of uint8 images into the result."""
    result.ids += ids
    values = {"psnr": psnr(decoded, images), "ssim": ssim(decoded, images)}
    for name, network in networks.items():
        values[name] = lpips_distance(network, from_uint8(decoded), from_uint8(images))
    for name, value in values.items():
        result.per_image.setdefault(name, []).extend(value.tolist())
    room = SAMPLES - len(result.samples)
    result.samples += list(decoded[: max(0, room)].permute(0, 2, 3, 1).cpu().numpy())


class Sums:
    """Running moments of an image set's features."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.moments: Moments | None = None

    @torch.inference_mode()
    def update(self, images: Tensor) -> None:
        parts = from_uint8(images).split(FEATURE_BATCH)
        features = torch.cat([self.network(part) for part in parts])
        if self.moments is None:
            self.moments = Moments(features.shape[1], features.device)
        self.moments.update(features)
