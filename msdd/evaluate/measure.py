"""One pass of reconstructions over held-out crops, and every metric of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from msdd.data.pixels import check_finite, from_uint8, to_uint8
from msdd.data.shards import Crops
from msdd.device import arithmetic, clock
from msdd.evaluate import protocols
from msdd.evaluate.accumulator import Tally
from msdd.evaluate.networks import Instruments
from msdd.evaluate.summary import figures, per_image
from msdd.params.sections import Evaluate
from msdd.pipeline.progress import Progress

PROTOCOL = "primary"
SAMPLES = 16  # reconstructions kept for looking


class Tokenizer(Protocol):
    """What can be measured. The seed and an image's id decide the noise of its decoding."""

    def encode(self, images: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor, ids: Sequence[int], seed: int) -> Tensor: ...


@dataclass
class Measurement:
    """Figures, those of each image in the order of `ids`, the first reconstructions as uint8
    (K, H, W, 3), and the decode times."""

    ids: list[int] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    per_image: dict[str, list[float]] = field(default_factory=dict)
    samples: list[np.ndarray] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def protocol(settings: Evaluate) -> protocols.Protocol:
    """The pipeline's protocol: `primary` without KID, with the networks that the params name."""
    found = protocols.load([PROTOCOL])[PROTOCOL].with_features(settings.features)
    lpips = found.lpips.model_copy(update={"nets": settings.lpips}) if settings.lpips else None
    return found.model_copy(update={"lpips": lpips, "kid": False})


def measure(
    name: str,
    tokenizer: Tokenizer,
    crops: Crops,
    settings: Evaluate,
    seed: int,
    device: torch.device,
) -> Measurement:
    """Reconstruct the first `settings.images` crops (0: all) and measure them.

    Raises MsddError naming an image whose reconstruction holds NaN or infinity.
    """
    rules = protocol(settings)
    result, tally = Measurement(), Tally({PROTOCOL: rules}, Instruments([rules], device))
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
            tally.update(ids, list(map(str, ids)), images, decoded)
            room = max(0, SAMPLES - len(result.samples))
            result.samples += list(to_uint8(decoded[:room]).permute(0, 2, 3, 1).cpu().numpy())
            progress.update(len(tally.ids), psnr=tally.last_psnr())
    result.ids = tally.ids
    result.figures = figures(rules, tally, {})
    result.per_image = {key: column.tolist() for key, column in per_image(rules, tally).items()}
    return result


def batches(crops: Crops, total: int, batch: int) -> Iterator[tuple[list[int], Tensor]]:
    """Ids and uint8 images (B, 3, R, R) of the first `total` crops."""
    count = min(total, len(crops))
    for start in range(0, count, batch):
        ids = list(range(start, min(start + batch, count)))
        yield ids, crops.batch(np.array(ids))
