"""One training: what it is for, what it trains and where the result goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from msdd.params.sections import Optimisation
from msdd.pipeline.stages import Task
from msdd.train.adversary import Adversary

# images (B, 3, R, R) -> the terms of the loss as scalars; `loss`, their weighted sum, is minimised.
Losses = Callable[[Tensor], dict[str, Tensor]]


@dataclass(frozen=True)
class Job:
    """One training and the folder it fills.

    row, stage, part: what it is for, as the tracker names it (part tells scales apart).
    folder:   of the result, relative to the working directory.
    network:  what is trained, on its device; its EMA is what `export` writes into the folder.
    teacher:  what the losses ask besides, and what stays as it is.
    task:     everything that decides the result; a checkpoint of another is not resumed.
    """

    row: str
    stage: str
    part: str
    folder: Path
    network: nn.Module
    losses: Losses
    settings: Optimisation
    task: Task
    export: Callable[[Path, dict[str, Tensor]], None]
    teacher: nn.Module | None = None
    adversary: Adversary | None = None

    @property
    def key(self) -> str:
        return self.task.key

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.stage, self.row, self.part)))
