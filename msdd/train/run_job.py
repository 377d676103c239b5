"""Runs one `TrainingJob`: its processes, lock, record, tracker, checkpoint and results."""

import csv
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from msdd.data.pixels import from_uint8
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.device import chosen, enough_memory, lacks_memory
from msdd.errors import MsddError
from msdd.fast.compiling import options
from msdd.files import atomic, check_place
from msdd.model.kl_encoder import KLEncoder
from msdd.model.mmdit import Block
from msdd.model.uvit import UViT
from msdd.pipeline import layout, receipts, stop
from msdd.pipeline.lock import hold
from msdd.pipeline.provenance import pieces, recorded
from msdd.tracking.mfu import MIN_SECONDS, training_speed
from msdd.tracking.run import open_run
from msdd.train.checkpoint import previous, remove
from msdd.train.job import TrainingJob
from msdd.train.loop import on, train
from msdd.train.state import State
from msdd.train.team import Team, join

# What a linker that was killed leaves in torch's cache, as the loader tells of it.
UNFINISHED = re.compile(r"(/\S+\.so): (?:file too short|invalid ELF header)")


def carry_out(job: TrainingJob, crops: Crops | RandomCrops, root: Path) -> dict[str, float]:
    """Train, from a checkpoint if there is one, and write the result below `root`.

    Under torchrun all processes train, and the first one does everything else. Returns the last
    losses by term. Raises MsddError if another process makes the same folder, when the loss is not
    a number, and for a batch that the processes cannot share.
    """
    team = join(next(job.network.parameters()).device)
    check_shares(job, team)
    compile_networks(job)
    checkpoint = root / layout.checkpoint(job.folder) / "checkpoint.pt"
    with enough_memory(f"{job.name}: lower {smaller_parts(job)}"), compilation(job):
        last = (lead if team.first else follow)(job, crops, checkpoint, root, team)
    team.leave()
    return last


@contextmanager
def compilation(job: TrainingJob) -> Iterator[None]:
    """A stop that reaches the compiler, and what that leaves in torch's cache, as one line each."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.startswith("torch._inductor") and (why := stop.pending()):
            raise stop.Stopped(f"{job.name}: {why} while torch compiled; run it again") from error
        if not (left := UNFINISHED.search(str(error))) or not in_torch_cache(Path(left[1])):
            raise
        Path(left[1]).unlink(missing_ok=True)
        raise MsddError(
            f"{job.name}: a compilation that was stopped had left {left[1]} unfinished; it is "
            "removed now: run the same command again"
        ) from error


def in_torch_cache(path: Path) -> bool:
    """Whether torch's compiler has made a file: nothing else is removed."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return path.resolve().is_relative_to(Path(cache_dir()).resolve())


def lead(
    job: TrainingJob, crops: Crops | RandomCrops, checkpoint: Path, root: Path, team: Team
) -> dict[str, float]:
    """What the first process does."""
    aside = checkpoint.parent
    made = [job.folder / file for file in layout.TRAINING_FILES]
    receipt = layout.receipt("trainings", job.folder)
    with hold(aside / "lock"):
        team.wait()
        check_place(root / job.folder / "model.safetensors", "the result")
        state = State(job.network, job.settings, job.adversary, job.frechet)
        describe(job, team)
        resumed = resume(state, checkpoint, job)
        kept = checkpoint if checkpoint.exists() else previous(checkpoint)
        earlier = pieces(aside / "pieces.json", kept, resumed, state.images)
        tags = {"data": crops.digest, "part": job.part}
        with (
            recorded(job.task, job.folder, [*made, receipt], root, earlier) as record,
            open_run(job.task, job.stage, job.part, root=root, tags=tags, resumed=resumed) as run,
        ):
            record |= {"run": run.identity, "images_before": state.images, "processes": team.size}
            before, started = state.images, time.monotonic()
            train(job, state, crops, checkpoint, run, team)
            seconds = time.monotonic() - started
            write_result(job, state, root / job.folder)
            if seconds > MIN_SECONDS:
                speed = report_speed(job, crops, state.images - before, seconds, team)
                run.log(state.images, {f"speed/{name}": value for name, value in speed.items()})
                record["speed"] = speed
            receipts.write("trainings", job.folder, made, root)
            for file in made:
                run.file(root / file)
        remove(checkpoint)
        (aside / "pieces.json").unlink(missing_ok=True)
    return state.curve[-1]


def follow(
    job: TrainingJob, crops: Crops | RandomCrops, checkpoint: Path, root: Path, team: Team
) -> dict[str, float]:
    """What the other processes do: they compute, and write and say nothing."""
    team.wait()  # for the first one, which has the lock now
    state = State(job.network, job.settings, job.adversary, job.frechet)
    state.resume(checkpoint, job.key)
    train(job, state, crops, checkpoint, None, team)
    return state.curve[-1]


def check_shares(job: TrainingJob, team: Team) -> None:
    """MsddError unless every process gets as many microbatches of a batch."""
    batch, microbatch = job.settings.batch, job.settings.microbatch
    count = batch // (microbatch or batch)
    if count % team.size == 0:
        return
    section = section_of(job)
    fit = [m for m in range(1, batch + 1) if batch % (m * team.size) == 0]
    fitting = [m for m in fit if m <= (microbatch or batch)]
    advice = f"microbatch to {fitting[-1]}" if fitting else f"batch to a multiple of {team.size}"
    raise MsddError(
        f"{job.name}: {section}.microbatch {microbatch or 'null'} divides the batch of {batch} "
        f"into {count}, which {team.size} processes cannot share evenly; set {section}.{advice}"
    )


def section_of(job: TrainingJob) -> str:
    return "stage1" if job.stage == "stage1" else "distil"


def smaller_parts(job: TrainingJob) -> str:
    """The param that a step's memory depends on, with its value. It changes noise, so that the
    training begins anew."""
    settings, section = job.settings, section_of(job)
    size = settings.microbatch or settings.batch
    if size == 1:
        return f"model.width or model.depth, as {section}.microbatch is 1 already"
    return f"{section}.microbatch, {size} images now, to a divisor of batch {settings.batch}"


def describe(job: TrainingJob, team: Team) -> None:
    """Say what nobody would expect: a training on a CPU, or in several processes."""
    if next(job.network.parameters()).device.type == "cpu" and not chosen():
        print(f"{job.name}: no GPU here: training on the CPU", file=sys.stderr)
    if team.size > 1:
        share = f"each has {job.settings.batch // team.size} of {job.settings.batch} images a step"
        print(f"{job.name}: {team.size} processes, {share}", file=sys.stderr)


def write_result(job: TrainingJob, state: State, folder: Path) -> None:
    """Write the averaged weights and `curves.csv`, each file as a whole."""
    job.export(folder, state.ema.average)
    with atomic(folder / "curves.csv") as temporary, open(temporary, "w", newline="") as file:
        columns = dict.fromkeys(chain.from_iterable(state.curve))  # some terms begin later
        table = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(state.curve)


def report_speed(
    job: TrainingJob, crops: Crops | RandomCrops, trained: int, seconds: float, team: Team
) -> dict[str, float]:
    """Print the speed of each process of a training and return it.

    trained: images, of all processes. Returns {} where memory for another pass is missing.
    """
    device = next(job.network.parameters()).device
    places = np.arange(job.settings.microbatch or job.settings.batch)
    images = from_uint8(crops.batch(places % len(crops), places)).to(device)
    latents = on(device, crops.latents(places % len(crops)))
    try:
        speed = training_speed(
            lambda batch: job.losses(batch, latents)["loss"],
            images,
            job.settings.precision,
            trained // team.size,
            seconds,
        )
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        print(f"{job.name}: not enough memory to count the FLOPs of a step", file=sys.stderr)
        return {}
    finally:
        job.network.zero_grad(set_to_none=True)
    each = f", in each of {team.size} processes" if team.size > 1 else ""
    print(f"{job.name}: {speed}{each}", file=sys.stderr)
    return speed.json()


def compile_networks(job: TrainingJob) -> None:
    """Compile the trained network and its teacher in place, if the settings ask for it.

    Of an MMDiT only the blocks are compiled: they are all alike, and a whole network runs no faster
    and compiles for minutes.
    """
    if not job.settings.compile:
        return
    if job.adversary:  # its adaptive weight takes gradients of a graph that is used again
        torch._functorch.config.donated_buffer = False
    for whole in filter(None, (job.network, job.teacher)):
        for part in whole.modules():
            if isinstance(part, (Block, KLEncoder, UViT)):
                part.compile(**options())


def resume(state: State, checkpoint: Path, job: TrainingJob) -> bool:
    """Load the checkpoint into the state, if it belongs to this job; whether it does.

    Prints what was resumed, or why an existing checkpoint was not used.
    """
    resumed = state.resume(checkpoint, job.key)
    if resumed:
        print(f"{job.name}: resuming after {state.images:,} images", file=sys.stderr)
    elif resumed is False:
        print(
            f"{job.name}: params, code or data have changed since {checkpoint} was written; "
            "starting afresh",
            file=sys.stderr,
        )
    return bool(resumed)
