"""What every training does around the loop: lock, resume, train, put the result in place."""

import csv
import sys
import time
from pathlib import Path

import numpy as np
import torch

from msdd.data.pixels import from_uint8
from msdd.data.shards import Crops
from msdd.fast.compiling import options
from msdd.files import atomic
from msdd.model.kl_encoder import KLEncoder
from msdd.model.mmdit import Block
from msdd.model.uvit import UViT
from msdd.pipeline import layout, receipts
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import pieces, recorded
from msdd.tracking.mfu import WORTH, pace
from msdd.tracking.run import open_run
from msdd.train.job import Job
from msdd.train.loop import train
from msdd.train.state import State


def carry_out(job: Job, crops: Crops, root: Path) -> dict[str, float]:
    """Train, from a checkpoint if there is one, and put the result in place; the last losses."""
    aside = root / layout.checkpoint(job.folder)
    made = [job.folder / file for file in layout.TRAINING_FILES]
    receipt = layout.receipt("trainings", job.folder)
    with hold(aside / "lock"):
        compile_networks(job)
        state, checkpoint = State(job.network, job.settings, job.adversary), aside / "checkpoint.pt"
        resumed = resume(state, checkpoint, job)
        earlier = pieces(aside / "pieces.json", checkpoint, resumed, state.images)
        tags = {"data": crops.digest, "part": job.part}
        with (
            recorded(job.task, job.folder, [*made, receipt], root, earlier) as record,
            open_run(job.task, job.stage, job.part, root=root, tags=tags, resumed=resumed) as run,
        ):
            record |= {"run": run.identity, "images_before": state.images}
            before, started = state.images, time.monotonic()
            train(job, state, crops, checkpoint, run)
            seconds = time.monotonic() - started
            put_in_place(job, state, root / job.folder)
            if seconds > WORTH:
                found = tell_pace(job, crops, state.images - before, seconds)
                run.log(state.images, {f"pace/{name}": value for name, value in found.items()})
                record["pace"] = found
            receipts.write("trainings", job.folder, made, root)
            for file in made:
                run.file(root / file)
        for file in (checkpoint, aside / "pieces.json"):
            file.unlink(missing_ok=True)
    return state.curve[-1]


def put_in_place(job: Job, state: State, folder: Path) -> None:
    """Write the averaged weights and the curve, each file as a whole."""
    job.export(folder, state.ema.average)
    with atomic(folder / "curves.csv") as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, state.curve[0], lineterminator="\n")
        table.writeheader()
        table.writerows(state.curve)


def tell_pace(job: Job, crops: Crops, trained: int, seconds: float) -> dict[str, float]:
    """The pace, told; a device whose memory the training has filled tells none."""
    device = next(job.network.parameters()).device
    count = job.settings.microbatch or job.settings.batch
    images = from_uint8(crops.batch(np.arange(count) % len(crops))).to(device)
    try:
        found = pace(job, images, trained, seconds)
    except torch.OutOfMemoryError:
        print(f"{job.name}: no memory is left to count what a step costs", file=sys.stderr)
        return {}
    print(f"{job.name}: {found}", file=sys.stderr)
    return found.json()


def compile_networks(job: Job) -> None:
    """Compile what trains and its teacher in place, if the settings ask for it.

    Of an MMDiT its blocks, which are all alike: wholes run no faster and compile for minutes.
    """
    if not job.settings.compile:
        return
    if job.adversary:  # its weight asks for gradients of a graph that is used again
        torch._functorch.config.donated_buffer = False
    for whole in filter(None, (job.network, job.teacher)):
        for part in whole.modules():
            if isinstance(part, (Block, KLEncoder, UViT)):
                part.compile(**options())


def resume(state: State, checkpoint: Path, job: Job) -> bool:
    """Continue from the checkpoint and say so; say also why one is left unused."""
    found = state.resume(checkpoint, job.key)
    if found:
        print(f"{job.name}: resuming after {state.images:,} images", file=sys.stderr)
    elif found is False:
        print(
            f"{job.name}: params, code or data have changed since {checkpoint} was written; "
            "starting afresh",
            file=sys.stderr,
        )
    return bool(found)
