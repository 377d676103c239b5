"""One training: what it is for, what it trains and where the result goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from msdd.params.sections import Optimisation
from msdd.pipeline.task import Task
from msdd.train.preview import Preview

if TYPE_CHECKING:  # else their code would count for trainings without them
    from msdd.train.adversary import Adversary
    from msdd.train.frechet import FrechetLoss

# Images (B, 3, R, R), and their latents (B, latents, latent_dim) if these were computed before, to
# the terms of the loss as scalars; `loss`, their weighted sum, is minimised.
Losses = Callable[[Tensor, Tensor | None], dict[str, Tensor]]


@dataclass(frozen=True)
class TrainingJob:
    """One training and the folder it fills.

    task:      everything that decides the result; a checkpoint of another task is not resumed.
    stage:     what the tracker, the progress line and the seeds of the steps call the stage.
    part:      what tells several trainings of the row and stage apart (`scale0`), else empty.
    folder:    of the result, relative to the working directory.
    network:   what is trained, on its device; its EMA is what `export` writes into the folder.
    settings:  of the training, as they hold for the row.
    preview:   what its pictures by step show.
    teacher:   a network that the losses also call; it is not trained.
    adversary: the discriminator that the losses call; it learns after each step of the network.
    frechet:   the Fréchet distance that the losses call; its moments grow after each step.
    """

    task: Task
    stage: str
    part: str
    folder: Path
    network: nn.Module
    losses: Losses
    settings: Optimisation
    export: Callable[[Path, dict[str, Tensor]], None]
    preview: Preview
    teacher: nn.Module | None = None
    adversary: "Adversary | None" = None
    frechet: "FrechetLoss | None" = None

    @property
    def key(self) -> str:
        return self.task.key

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.stage, self.task.row, self.part)))
