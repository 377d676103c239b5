"""The one training loop: stage 1 and every distillation run through it."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from msdd.data.loader import Loader
from msdd.data.shards import Crops
from msdd.errors import MsddError
from msdd.flow.noise import seed_of
from msdd.params import Optimisation
from msdd.progress import Progress
from msdd.tracking import Run
from msdd.train.optimiser import learning_rate
from msdd.train.state import State

# images (B, 3, R, R) -> the terms of the loss as scalars; `loss`, their weighted sum, is minimised.
Losses = Callable[[Tensor], dict[str, Tensor]]


def train(
    name: str,
    losses: Losses,
    state: State,
    crops: Crops,
    settings: Optimisation,
    seed: int,
    checkpoint: Path,
    key: str,
    run: Run,
) -> None:
    """Train `state.network` to `settings.images`, from wherever `state` stands.

    The step after n images depends on nothing but the state and (seed, n): a training that was
    interrupted ends bit for bit where an uninterrupted one ends. Raises MsddError when the loss is
    no longer a number.
    """
    device = next(state.network.parameters()).device
    sums: dict[str, Tensor] = {}
    log = checkpoint.with_name("train.log")
    state.network.train()
    with (
        Loader(crops, seed, settings.batch, state.images) as loader,
        Progress(name, settings.images, log=log, start=state.images) as progress,
    ):
        for images, _ in loader:
            if state.images >= settings.images:
                break
            torch.manual_seed(seed_of("step", name, seed, state.images))
            with precision(settings.precision, device):
                terms = losses(images.to(device))
            terms["loss"].backward()
            for term, value in terms.items():
                sums[term] = sums.get(term, 0) + value.detach()
            step(state, settings)

            if state.images % settings.log_every == 0 or state.images >= settings.images:
                state.curve.append(averages(sums, state, settings, name))
                sums = {}
                run.log(state.images, state.curve[-1])
            if state.images % settings.checkpoint_every == 0:
                state.save(checkpoint, key)
            progress.update(state.images, **latest(state))


def step(state: State, settings: Optimisation) -> None:
    """One update of weights and average from the gradients, which are cleared."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.images, settings)
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.gradient_clip)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.images += settings.batch
    state.ema.update(state.images, settings.batch)


def precision(name: str, device: torch.device):
    """Context of the networks' arithmetic: `bf16` through autocast, `fp32` as it is."""
    return torch.autocast(device.type, torch.bfloat16) if name == "bf16" else nullcontext()


def averages(
    sums: dict[str, Tensor], state: State, settings: Optimisation, name: str
) -> dict[str, float]:
    """A point of the curve: the mean of each term since the last; the one place that waits."""
    since = state.curve[-1]["images"] if state.curve else 0
    steps = (state.images - since) // settings.batch
    point = {term: total.item() / steps for term, total in sums.items()}
    if not all(math.isfinite(value) for value in point.values()):
        raise MsddError(
            f"{name}: the loss is not a number after {state.images} images; "
            f"a learning_rate below {settings.learning_rate:g} may help"
        )
    return {"images": state.images, **point}


def latest(state: State) -> dict[str, float]:
    return {"loss": state.curve[-1]["loss"]} if state.curve else {}
