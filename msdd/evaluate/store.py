"""The state of an evaluation on disk, so that a later run goes on where one was stopped."""

import json
import sys
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from msdd.evaluate.tally import Tally
from msdd.files import atomic


class Store:
    """A folder with a file for each process.

    key: everything that decides the result; states of another key are thrown away.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    def save(self, rank: int, tally: Tally) -> None:
        features = json.dumps([str(wanted) for wanted in tally.features])
        if state := tally.state():
            with atomic(self.path(rank)) as temporary:
                tensors = {name: tensor.contiguous() for name, tensor in state.items()}
                save_file(tensors, temporary, metadata={"key": self.key, "features": features})

    def resume(self, tally: Tally) -> None:
        """Give a tally all that is saved, and leave it as the one state.

        For the first process, before the others begin. A run may stop between the two steps, so a
        state whose images have been seen is left out.
        """
        states = sorted(self.states(tally), key=lambda state: len(state["ids"]), reverse=True)
        for state in states:
            if not set(state["ids"].tolist()) & set(tally.ids):
                tally.load(state)
        if len(states) > 1:
            self.save(0, tally)
            for path in self.paths():
                if path != self.path(0):
                    path.unlink()

    def states(self, tally: Tally) -> list[dict[str, Tensor]]:
        """Those of this evaluation that hold all the features of the tally; no others are left."""
        wanted, found = {str(features) for features in tally.features}, []
        for path in self.paths():
            about = metadata(path)
            if about.get("key") == self.key and wanted <= set(json.loads(about["features"])):
                found.append(load_file(path))
            else:
                print(f"{path} is of another evaluation: starting afresh", file=sys.stderr)
                path.unlink()
        return found

    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("process*.safetensors"))

    def path(self, rank: int) -> Path:
        return self.folder / f"process{rank}.safetensors"


def metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}
