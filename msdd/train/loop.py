"""The one training loop: stage 1 and every distillation run through it."""

import math
from pathlib import Path

import torch
from torch import Tensor

from msdd.data.loader import Loader
from msdd.data.pixels import from_uint8
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.device import arithmetic
from msdd.errors import MsddError
from msdd.params.sections import Optimisation
from msdd.pipeline.progress import Progress
from msdd.seeds import seed_of
from msdd.tracking.run import Run
from msdd.train.job import TrainingJob
from msdd.train.optimiser import learning_rate
from msdd.train.state import State


def train(
    job: TrainingJob, state: State, crops: Crops | RandomCrops, checkpoint: Path, run: Run
) -> None:
    """Train `job.network` from the images that `state` has seen to `job.settings.images`.

    The step after n images depends only on the state and (seed, n), so a training that was
    interrupted ends with the same bits as one that was not. Raises MsddError when the loss is not
    a finite number.
    """
    settings, device = job.settings, next(state.network.parameters()).device
    seed = job.task.seed
    log = checkpoint.with_name("train.log")
    state.network.train()
    with (
        Loader(crops, seed, settings.batch, state.images, device.type == "cuda") as loader,
        Progress(job.name, settings.images, log=log, start=state.images) as progress,
    ):
        for images, _ in loader:
            if state.images >= settings.images:
                break
            torch.manual_seed(seed_of(job.stage, job.part, seed, state.images))
            terms = gradients(job, from_uint8(images.to(device, non_blocking=True)))
            rate = step(state, settings)
            if state.adversary:
                with arithmetic(settings.precision, device):
                    terms["discriminator"] = state.adversary.step(rate)
            for term, value in terms.items():
                state.sums[term] = state.sums.get(term, 0) + value

            if state.images % settings.log_every == 0 or state.images >= settings.images:
                point, state.sums = averages(state, job), {}
                state.curve.append({"images": state.images, **point})
                run.log(state.images, point)
            if state.images % settings.checkpoint_every == 0:
                state.save(checkpoint, job.key)
            progress.update(state.images, **latest(state))


def gradients(job: TrainingJob, images: Tensor) -> dict[str, Tensor]:
    """The terms of the loss for images (B, 3, R, R), averaged over the batch, without gradient.

    The gradient of the loss is added to that of the network's parameters, one microbatch at a time.
    """
    means: dict[str, Tensor] = {}
    for part in images.split(job.settings.microbatch or len(images)):
        share = len(part) / len(images)
        with arithmetic(job.settings.precision, images.device):
            terms = job.losses(part)
        (share * terms["loss"]).backward()
        for term, value in terms.items():
            means[term] = means.get(term, 0) + share * value.detach()
    return means


def step(state: State, settings: Optimisation) -> float:
    """Update the weights and their average from the gradients, and clear these.

    Returns the learning rate of the step as a share of its peak.
    """
    rate = learning_rate(state.images, settings)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.images += settings.batch
    state.ema.update(state.images, settings.batch)
    return rate / settings.learning_rate


def averages(state: State, job: TrainingJob) -> dict[str, float]:
    """The mean of each term since the last point of the curve.

    Raises MsddError unless all are finite. Only here does the processor wait for the device.
    """
    since = state.curve[-1]["images"] if state.curve else 0
    steps = (state.images - since) // job.settings.batch
    point = {term: total.item() / steps for term, total in state.sums.items()}
    if not all(math.isfinite(value) for value in point.values()):
        raise MsddError(
            f"{job.name}: the loss is not a number after {state.images} images; "
            f"a learning_rate below {job.settings.learning_rate:g} may help"
        )
    return point


def latest(state: State) -> dict[str, float]:
    """The loss at the last point of the curve, for the progress line; {} before the first."""
    return {"loss": state.curve[-1]["loss"]} if state.curve else {}
