"""The state of a training, and its checkpoint."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from msdd.params.sections import Optimisation
from msdd.train import checkpoint
from msdd.train.ema import Ema
from msdd.train.optimiser import optimiser

if TYPE_CHECKING:  # else their code would count for trainings without them
    from msdd.train.adversary import Adversary
    from msdd.train.frechet import FrechetLoss


class State:
    """Weights, their average, the optimiser, what judges, the images seen and the curve so far.

    curve: a point every `log_every` images: `images` and the mean of each term since the last.
    sums:  of each term since the last point, because a checkpoint may lie between two points.
    counts: of the steps that had the term.

    Random numbers are no part of it: each step seeds them anew from the images seen.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: Optimisation,
        adversary: "Adversary | None" = None,
        frechet: "FrechetLoss | None" = None,
    ) -> None:
        self.network, self.adversary, self.frechet = network, adversary, frechet
        self.optimiser = optimiser(network, settings)
        self.ema = Ema(network, settings.ema_half_life)
        self.images = 0
        self.curve: list[dict[str, float]] = []
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @property
    def weights(self) -> list[Tensor]:
        """All that is trained, and the averages."""
        judge = self.adversary.network.parameters() if self.adversary else []
        return [*self.network.parameters(), *self.ema.average.values(), *judge]

    def save(self, path: Path, key: str) -> None:
        """Write the checkpoint with the key of its task, as a whole or not at all."""
        content = {
            "key": key,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": self.ema.state_dict(),
            "adversary": self.adversary.state_dict() if self.adversary else None,
            "frechet": self.frechet.state_dict() if self.frechet else None,
            "images": self.images,
            "curve": self.curve,
            "sums": self.sums,
            "counts": self.counts,
        }
        buffer = io.BytesIO()  # torch.save into a file does not say when the disk is full
        torch.save(content, buffer)
        checkpoint.write(path, buffer.getbuffer())

    def resume(self, path: Path, key: str) -> bool | None:
        """Load the checkpoint at `path`, or the one before it, and return True, if it has this key.

        Returns None if there is none, False if it has another key: it belongs to another result.
        """
        content = checkpoint.read(path, key)
        if content is None:
            return None
        if content["key"] != key:
            return False
        try:
            self.load(content)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise checkpoint.foreign(path, error) from error
        return True

    def load(self, content: dict) -> None:
        """Take what a checkpoint holds. Raises errors of many types if it is of another form."""
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.ema.load_state_dict(content["ema"])
        if self.adversary:
            self.adversary.load_state_dict(content["adversary"])
        if self.frechet:
            self.frechet.load_state_dict(content["frechet"])
        self.images, self.curve = int(content["images"]), list(content["curve"])
        self.sums, self.counts = dict(content["sums"]), dict(content["counts"])
