"""Pictures of a training by step, for the tracker: a few images, and what becomes of them.

They change nothing that is trained: the noise is a function of an image's place and not of torch's
generator, the network is put back into training mode, and nothing is compiled for them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msdd.data.pixels import from_uint8, to_uint8
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.device import arithmetic
from msdd.params.sections import Optimisation
from msdd.tracking.run import Run

NAME = "progress"  # of the picture; MLflow compares trainings by it
IMAGES = 4
MOST = 50  # pictures of a training, about


@dataclass(frozen=True)
class Preview:
    """What the pictures of a training show.

    network:  is being trained, on its device.
    crops:    it is trained on.
    prepared: the folder with the held-out crops.
    decode:   images (N, 3, R, R) in [-1, 1], and their latents if these were computed before, to
              what the network makes of them, (N, 3, side, side).
    """

    network: nn.Module
    settings: Optimisation
    crops: Crops | RandomCrops
    prepared: Path
    decode: Callable[[Tensor, Tensor | None], Tensor]

    def show(self, run: Run, images: int) -> None:
        """Give the run its picture after so many images, if one is due that it has not."""
        if run.is_new(images) and is_due(images, self.settings):
            run.image(NAME, self.picture(), images, above=False)

    @cached_property
    def examples(self) -> tuple[Tensor, Tensor | None]:
        """The first held-out crops; or the first crops to train on, where only these have latents
        that another tokenizer has made."""
        places = np.arange(min(IMAGES, len(self.crops)))
        latents, device = self.crops.latents(places), next(self.network.parameters()).device
        crops = self.crops
        if latents is None:
            crops = Crops(self.prepared, "held_out", crops.resolution)
            places = np.arange(min(IMAGES, len(crops)))
        images = from_uint8(crops.batch(places, places)).to(device)
        return images, None if latents is None else latents.to(device)

    @torch.no_grad()
    def picture(self) -> np.ndarray:
        """Each image, at the size of what is made, above what is made of it: uint8 (N, 2 side,
        side, 3)."""
        images, latents = self.examples
        self.network.eval()
        eager = torch.compiler.set_stance("force_eager")  # another batch would compile anew
        with eager, arithmetic(self.settings.precision, images.device):
            made = self.decode(images, latents)
        self.network.train()
        small = F.adaptive_avg_pool2d(images, made.shape[-1])
        both = torch.cat([small, made.to(small)], dim=2)
        return to_uint8(both).permute(0, 2, 3, 1).cpu().numpy()


def is_due(images: int, settings: Optimisation) -> bool:
    """Whether a picture is due: at the start, at points of the curve (every n-th of a long one),
    and at the end."""
    points = math.ceil(settings.images / settings.log_every)
    every = math.ceil(points / MOST) * settings.log_every
    return images % every == 0 or images >= settings.images
