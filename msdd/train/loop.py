"""The one training loop: stage 1 and every distillation run through it."""

from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from msdd.data.loader import Loader
from msdd.data.pixels import from_uint8
from msdd.data.random_crops import RandomCrops
from msdd.data.shards import Crops
from msdd.device import arithmetic
from msdd.params.sections import Optimisation
from msdd.pipeline import stop
from msdd.pipeline.progress import Progress
from msdd.seeds import seed_of
from msdd.tracking.run import Run
from msdd.train.colour_jitter import colour_jitter
from msdd.train.job import TrainingJob
from msdd.train.optimiser import learning_rate
from msdd.train.state import State
from msdd.train.team import Team
from msdd.train.terms import NORMS, RecentTerms


def train(
    job: TrainingJob,
    state: State,
    crops: Crops | RandomCrops,
    checkpoint: Path,
    run: Run | None,
    team: Team,
) -> None:
    """Train `job.network` from the images that `state` has seen to `job.settings.images`.

    The step after n images depends only on the state and (seed, n), so a training that was
    interrupted ends with the same bits as one that was not. Every process of the team computes its
    microbatches of each step and then takes the same step. Raises MsddError when the loss is not a
    finite number, and when the processes do not hold the same weights; Stopped after a checkpoint
    when the first process is asked to stop (`msdd.pipeline.stop`), whose end ends the others.

    run: of the tracker; None in all processes but the first, which write and say nothing.
    """
    settings = job.settings
    state.network.train()
    team.check_same(state.images, state.weights)
    progress = progress_of(job, state, checkpoint, run)
    recent = RecentTerms(job, crops, checkpoint.parent if run else None)
    if run and state.images == 0:  # MLflow's page opens at step 0
        job.preview.show(run, 0)
    with share(job, state, crops, team) as loader, stop.requests() as asked, progress as told:
        for images, _, latents in loader:
            if state.images >= settings.images:
                break
            seen = state.images
            terms, norms = learn(job, state, images, latents, team)
            recent.add(seen, terms | norms)
            if state.images % settings.log_every == 0 or state.images >= settings.images:
                recent.check()
                point = new_point(state)
                if run:  # the point comes last: a run that has it has the picture, too
                    job.preview.show(run, state.images)
                    run.log(state.images, point)
            due = state.images % settings.checkpoint_every == 0
            if due:
                team.check_same(state.images, state.weights)
            why = asked() if run and state.images < settings.images else ""
            if due or why:
                recent.check()  # what is no number is not saved
            if run and (due or why):
                state.save(checkpoint, job.key)
            if told:
                told.update(state.images, **latest(state))
            if why:
                raise stop.Stopped(f"{job.name}: {why}; saved after {state.images:,} images")


def share(job: TrainingJob, state: State, crops: Crops | RandomCrops, team: Team) -> Loader:
    """The images of this process: the same part of every batch, in one piece."""
    batch = job.settings.batch
    own = batch // team.size
    pinned = next(state.network.parameters()).device.type == "cuda"
    return Loader(crops, job.task.seed, own, state.images + team.rank * own, pinned, batch)


def learn(
    job: TrainingJob, state: State, images: Tensor, latents: Tensor | None, team: Team
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One step of all that is trained: the terms of its losses, which are added to the sums of the
    next point, and the norms of its gradients.

    images:  uint8 (B, 3, R, R) on the CPU, the part of the batch that this process has.
    latents: (B, latents, latent_dim) of them on the CPU, if they were computed before.
    """
    device = next(state.network.parameters()).device
    pixels = from_uint8(images.to(device, non_blocking=True))
    terms = gradients(job, pixels, on(device, latents), state.images, team)
    rate, norms = step(state, job.settings)
    if state.adversary:
        with arithmetic(job.settings.precision, device):
            terms["discriminator"], norms[NORMS[1]] = state.adversary.step(rate, team)
    if state.frechet:
        state.frechet.step(team)
    for term, value in terms.items():
        state.sums[term] = state.sums.get(term, 0) + value
        state.counts[term] = state.counts.get(term, 0) + 1
    return terms, norms


def on(device: torch.device, latents: Tensor | None) -> Tensor | None:
    return None if latents is None else latents.to(device, non_blocking=True)


def progress_of(job: TrainingJob, state: State, checkpoint: Path, run: Run | None):
    """The progress line, which only the first process has."""
    if run is None:
        return nullcontext()
    log = checkpoint.with_name("train.log")
    return Progress(job.name, job.settings.images, log=log, start=state.images)


def gradients(
    job: TrainingJob, images: Tensor, latents: Tensor | None, seen: int, team: Team
) -> dict[str, Tensor]:
    """The terms of the loss, averaged over the batch of all processes, without gradient.

    images:  (B, 3, R, R), the part of the batch that this process has.
    latents: (B, latents, latent_dim) of them, if they were computed before.
    seen:    the images of earlier steps.

    The gradient of the loss is added to that of the network's parameters, one microbatch at a time.
    A microbatch is a function of (seed, images seen, its index in the batch) alone, so that the
    number of processes changes only the order in which gradients are added up.
    """
    means: dict[str, Tensor] = {}
    size = job.settings.microbatch or len(images)
    parts = images.split(size)
    stored = [None] * len(parts) if latents is None else latents.split(size)
    for index, (part, known) in enumerate(zip(parts, stored, strict=True), team.rank * len(parts)):
        torch.manual_seed(noise_seed(job, seen, index))
        part = colour_jitter(part, job.settings.colour_jitter)
        weight = len(part) / (len(images) * team.size)
        with arithmetic(job.settings.precision, images.device):
            terms = job.losses(part, known)
        (weight * terms["loss"]).backward()
        for term, value in terms.items():
            means[term] = means.get(term, 0) + weight * value.detach()
    parameters = job.network.parameters()
    team.add_up([*(p.grad for p in parameters if p.grad is not None), *means.values()])
    return means


def noise_seed(job: TrainingJob, seen: int, index: int) -> int:
    """The seed of a microbatch; the first of a step has that of the step."""
    of_step = (job.stage, job.part, job.task.seed, seen)
    return seed_of(*of_step, index) if index else seed_of(*of_step)


def step(state: State, settings: Optimisation) -> tuple[float, dict[str, Tensor]]:
    """Update the weights and their average from the gradients, and clear these.

    Returns the learning rate of the step as a share of its peak, and the norm of the gradients,
    which may be no number where the loss is one.
    """
    rate = learning_rate(state.images, settings)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.images += settings.batch
    state.ema.update(state.images, settings.batch)
    return rate / settings.learning_rate, {NORMS[0]: norm}


def new_point(state: State) -> dict[str, float]:
    """A new point of the curve: the mean of each term since the last one, over the steps that had
    it.

    Only here, at checkpoints and where processes meet does the processor wait for the device.
    """
    means = {term: total.item() / state.counts[term] for term, total in state.sums.items()}
    state.sums, state.counts = {}, {}
    state.curve.append({"images": state.images, **means})
    return means


def latest(state: State) -> dict[str, float]:
    """The loss at the last point of the curve, for the progress line; {} before the first."""
    return {"loss": state.curve[-1]["loss"]} if state.curve else {}
