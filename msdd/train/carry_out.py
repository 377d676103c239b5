"""What every training does around the loop: lock, resume, train, put the result in place."""

import json
import sys
import time
from pathlib import Path

from msdd import layout, receipts, tracking
from msdd.data.shards import Crops
from msdd.files import write_json, write_text
from msdd.lock import hold
from msdd.model.decoder import Decoder
from msdd.model.encoder import Encoder
from msdd.params import Params
from msdd.provenance import context
from msdd.train.job import Job
from msdd.train.loop import train
from msdd.train.state import State


def carry_out(job: Job, params: Params, crops: Crops, root: Path) -> dict[str, float]:
    """Train, from a checkpoint if there is one, and put the result in place; the last losses."""
    aside = root / layout.checkpoint(job.folder)
    with hold(aside / "lock"):
        compile_networks(job)
        state, checkpoint = State(job.network, job.settings, job.adversary), aside / "checkpoint.pt"
        resumed = resume(state, checkpoint, job)
        tags = {"data": crops.digest, "part": job.part}
        with tracking.run(
            params, job.row, job.stage, job.part, root=root, tags=tags, resumed=resumed
        ) as run:
            origin = context() | {"key": job.key, "images_before": state.images}
            started = time.monotonic()
            train(job, state, crops, params.seed, checkpoint, run)
            origin["seconds"] = time.monotonic() - started
            put_in_place(job, state, origin, root / job.folder)
            made = [job.folder / file for file in layout.TRAINING_FILES]
            receipts.write("trainings", job.folder, made, root)
            for file in made:
                run.file(root / file)
        checkpoint.unlink(missing_ok=True)
    return state.curve[-1]


def put_in_place(job: Job, state: State, origin: dict[str, object], folder: Path) -> None:
    """Write the averaged weights, the curve and where they come from, each file as a whole."""
    job.export(folder, state.ema.average)
    write_text(folder / "curves.jsonl", "".join(json.dumps(p) + "\n" for p in state.curve))
    write_json(folder / "provenance.json", origin)


def compile_networks(job: Job) -> None:
    """Compile encoder and decoders in place, one graph a scale, if the settings ask for it."""
    if job.settings.compile:
        for part in job.network.modules():
            if isinstance(part, (Encoder, Decoder)):
                part.compile(dynamic=False)


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
