"""The terms of the last steps, to say which step was the first whose loss or gradient is not a
number."""

import json
from pathlib import Path

import torch
from torch import Tensor

from msdd.data.loader import batch_indices
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.files import unwritten, write_text
from msdd.train.job import TrainingJob

SHOWN = 3  # images in a line
NORMS = ("gradient", "gradient of the discriminator")


class RecentTerms:
    """Terms of the loss by name, of every step since they were looked at last.

    They stay on the device: only `check` waits for it, where the training waits anyway.

    folder: where the batch that did it is written, as `not-a-number.json`; None: nowhere.
    """

    def __init__(self, job: TrainingJob, crops: Crops | RandomCrops, folder: Path | None) -> None:
        self.job, self.crops, self.folder = job, crops, folder
        self.steps: list[tuple[int, dict[str, Tensor]]] = []

    def add(self, seen: int, terms: dict[str, Tensor]) -> None:
        """The terms of the step after `seen` images, and the `NORMS` of its gradients: scalars
        without gradient."""
        self.steps.append((seen, terms))

    def check(self) -> None:
        """Forget all steps. Raises MsddError that names the first one with a term that is not a
        finite number, these terms, and what its batch held."""
        steps, self.steps = self.steps, []
        values = [value.float() for _, terms in steps for value in terms.values()]
        if values and not torch.stack(values).isfinite().all():
            raise MsddError(self._told(*next(filter(_is_bad, steps))))

    def _told(self, seen: int, terms: dict[str, Tensor]) -> str:
        settings, bad = self.job.settings, [name for name in terms if not terms[name].isfinite()]
        what = "loss" if "loss" in bad else "gradient"
        if what == "loss":  # then so are its gradients
            bad = [name for name in bad if name not in ("loss", *NORMS)] or ["loss"]
        indices = batch_indices(self.job.task.seed, len(self.crops), seen, settings.batch)
        names = self.crops.names(indices)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        where = self._write({"images": seen, "terms": bad, "batch": names})
        return (
            f"{self.job.name}: the {what} is not a number in step {seen // settings.batch + 1} "
            f"(images {seen:,} to {seen + settings.batch:,}): {', '.join(bad)}; the batch had "
            f"{', '.join(names[:SHOWN])}{more}{where}; a learning_rate below "
            f"{settings.learning_rate:g} may help"
        )

    def _write(self, found: dict) -> str:
        if self.folder is None:
            return ""
        path = self.folder / "not-a-number.json"
        with unwritten("the batch is not listed"):
            write_text(path, json.dumps(found, indent=1) + "\n")
            return f", all in {path}"
        return ""


def _is_bad(step: tuple[int, dict[str, Tensor]]) -> bool:
    return not all(value.isfinite() for value in step[1].values())
