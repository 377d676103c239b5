"""What every training does around the loop: lock, resume, train, put the result in place."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from msdd import layout, tracking
from msdd.data.shards import Crops
from msdd.files import write_json, write_text
from msdd.lock import hold
from msdd.params import Optimisation, Params
from msdd.provenance import context
from msdd.train.loop import Losses, train
from msdd.train.state import State


@dataclass(frozen=True)
class Job:
    """One training and the folder it fills.

    row, stage, part: what it is for, as the tracker names it (part tells scales apart).
    folder:   of the result, relative to the working directory.
    network:  what is trained, on its device; its EMA is what `export` writes into the folder.
    key:      everything that decides the result; a checkpoint with another key is not resumed.
    """

    row: str
    stage: str
    part: str
    folder: Path
    network: nn.Module
    losses: Losses
    settings: Optimisation
    key: str
    export: Callable[[Path, dict[str, Tensor]], None]

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.stage, self.row, self.part)))


def prepare_device(params: Params) -> torch.device:
    """The GPU if there is one, else the CPU with the threads of the params: they change bits."""
    torch.set_num_threads(params.cpu_threads)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def carry_out(job: Job, params: Params, crops: Crops, root: Path) -> dict[str, float]:
    """Train, from a checkpoint if there is one, and put the result in place; the last losses."""
    aside = root / layout.checkpoint(job.folder)
    with hold(aside / "lock"):
        state, checkpoint = State(job.network, job.settings), aside / "checkpoint.pt"
        resumed = resume(state, checkpoint, job)
        tags = {"data": crops.digest, "part": job.part}
        started, first, origin = time.monotonic(), state.images, context()
        with tracking.run(
            params, job.row, job.stage, job.part, root=root, tags=tags, resumed=resumed
        ) as run:
            train(
                job.name,
                job.losses,
                state,
                crops,
                job.settings,
                params.seed,
                checkpoint,
                job.key,
                run,
            )
            folder = root / job.folder
            job.export(folder, state.ema.average)
            write_text(folder / "curves.jsonl", "".join(json.dumps(p) + "\n" for p in state.curve))
            seconds = time.monotonic() - started
            rate = (state.images - first) / seconds if seconds else None
            write_json(
                folder / "provenance.json",
                {**origin, "key": job.key, "seconds": seconds, "images_per_second": rate},
            )
            for file in layout.TRAINING_FILES:
                run.file(folder / file)
        checkpoint.unlink(missing_ok=True)
    return state.curve[-1]


def resume(state: State, checkpoint: Path, job: Job) -> bool:
    """Continue from the checkpoint and say so; say also why one is left unused."""
    found = state.resume(checkpoint, job.key)
    if found:
        print(f"{job.name}: goes on after {state.images:,} images", file=sys.stderr)
    elif found is False:
        print(
            f"{job.name}: params, code or data have changed since {checkpoint} was written; "
            "starting afresh",
            file=sys.stderr,
        )
    return bool(found)
