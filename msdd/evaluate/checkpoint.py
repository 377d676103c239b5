"""The state of an evaluation on disk, so that a later run continues where one was stopped."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from msdd.files import atomic, unwritten
from msdd.weights.metadata import pack, unpack

SAVE_SECONDS = 60  # between two saved states


class Resumable(Protocol):
    """What grows by images and goes on from what is saved of it.

    ids: places of its images in the whole set
    """

    ids: list[int]

    @property
    def features(self) -> Sequence[object]:
        """What is taken of each image; a state needs all of them."""

    def state(self) -> dict[str, Tensor]:
        """All of it as flat tensors, `ids` among them; none if there are no images."""

    def takes(self, state: Mapping[str, Tensor]) -> bool:
        """Whether `load` can add a state."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Add what a `state` holds."""


class Checkpoint:
    """A folder with a file for each process.

    key: everything that decides the result. The folder is named for it below the given one, so that
         evaluations of other keys stay as they are.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder / key[:12], key

    def save(self, rank: int, tally: Resumable) -> bool:
        """Whether a state is written; where there is one that cannot be, a warning says why."""
        features = json.dumps([str(wanted) for wanted in tally.features])
        if not (state := tally.state()):
            return False
        with unwritten("nothing is kept to continue from", SafetensorError):
            with atomic(self.path(rank)) as temporary:
                tensors = {name: tensor.contiguous() for name, tensor in state.items()}
                save_file(tensors, temporary, pack({"key": self.key, "features": features}))
            return True
        return False

    def resume(self, tally: Resumable) -> None:
        """Give a tally all that is saved, and leave it as the one state.

        For the first process, before the others begin. The other states go once that one is
        written, which a full disk may forbid. A run may stop between the two steps, so a state
        whose images have been seen is left out.
        """
        states = sorted(self.states(tally), key=lambda state: len(state["ids"]), reverse=True)
        for state in states:
            if not set(state["ids"].tolist()) & set(tally.ids):
                tally.load(state)
        if states and self.paths() != [self.path(0)] and self.save(0, tally):
            for path in self.paths():
                if path != self.path(0):
                    path.unlink()

    def states(self, tally: Resumable) -> list[dict[str, Tensor]]:
        """Those that hold all the features of the tally; no others are left in the folder."""
        wanted, states = {str(features) for features in tally.features}, []
        for path in self.paths():
            state = read(path, self.key, wanted)
            if state is not None and tally.takes(state):
                states.append(state)
            else:
                print(
                    f"{path} is damaged, or lacks features of the originals, whose statistics were "
                    "at hand then (--reference, cache): it is made anew",
                    file=sys.stderr,
                )
                path.unlink()
        return states

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("process*.safetensors"))

    def path(self, rank: int) -> Path:
        return self.folder / f"process{rank}.safetensors"


class Checkpointer:
    """Saves a tally that grows: now and then, and at the end, however it comes."""

    def __init__(self, checkpoint: Checkpoint | None, rank: int, tally: Resumable) -> None:
        self.checkpoint, self.rank, self.tally = checkpoint, rank, tally
        self.saved, self.at = len(tally.ids), time.monotonic()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *_) -> None:
        self.save()

    def save_if_due(self) -> None:
        if time.monotonic() - self.at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        if self.checkpoint and len(self.tally.ids) > self.saved:
            self.checkpoint.save(self.rank, self.tally)
        self.saved, self.at = len(self.tally.ids), time.monotonic()


def read(path: Path, key: str, features: set[str]) -> dict[str, Tensor] | None:
    """What is saved of an evaluation with this key, and these features at least; else None."""
    try:
        with safe_open(path, "pt") as file:
            about = unpack(file.metadata())
        fits = about["key"] == key and features <= set(json.loads(about["features"]))
        return load_file(path) if fits else None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
