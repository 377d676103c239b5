"""Stage 2, per scale: a student learns to do in one evaluation what the teacher does in several."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from msdd.device import prepare_device
from msdd.errors import MsddError
from msdd.flow.noise import image_noise
from msdd.flow.path import clean_estimate, downsample, start_state
from msdd.flow.sampler import euler
from msdd.flow.scales import Scale
from msdd.flow.steps import per_scale
from msdd.model.autoencoder import Autoencoder, decoder_of
from msdd.model.denoiser import Denoiser
from msdd.params.sections import Distil
from msdd.pipeline import layout
from msdd.pipeline.task import Task
from msdd.train.job import TrainingJob
from msdd.train.objective import Objective
from msdd.train.preview import Preview
from msdd.train.run_job import carry_out
from msdd.train.stored_latents import training_set
from msdd.train.velocities import encode, teacher_velocity
from msdd.weights import model_folder
from msdd.weights.model_folder import load_teacher


def run(task: Task, root: Path = Path(".")) -> dict[str, float]:
    """Distil the row `task.student` at the scale k of the task's wildcards.

    Writes `runs/<model>/<student>/scale<k>`; returns its last losses by term. Raises MsddError for
    a teacher that is missing or lacks the scale, and as `stage1.run` does.
    """
    device, settings = prepare_device(task.cpu_threads), task.distil
    teacher = load_teacher(root / layout.stage1(task.model)).to(device)
    scale = scale_of(task.wildcards["scale"], teacher.config.flow, task.student)
    crops = training_set(task, teacher.config, root)
    network = decoder_of(teacher.config).to(device)
    network.load_state_dict(teacher.decoder.state_dict())
    objective = Objective(
        settings, teacher.config.sides, scale.index, network.last_layer, task.seed
    )
    job = TrainingJob(
        task=task,
        stage="distil",
        part=f"scale{scale.index}",
        folder=layout.scale(task.model, task.student, scale.index),
        network=network,
        losses=lambda images, stored: losses(
            network, teacher, images, scale, settings, objective, stored
        ),
        settings=settings,
        export=lambda folder, state: model_folder.save(folder, "scale", teacher.config, state),
        preview=Preview(
            network,
            settings,
            crops,
            root / layout.prepared(),
            lambda images, stored: decode(network, teacher, images, scale, stored),
        ),
        teacher=teacher,
        adversary=objective.adversary,
        frechet=objective.frechet,
    )
    return carry_out(job, crops, root)


def scale_of(index: int, scales: Sequence[Scale], student: str) -> Scale:
    """The scale of this index, of a teacher's. Raises MsddError if it has none."""
    if not 0 <= index < len(scales):
        raise MsddError(f"the teacher of {student} has scales 0 to {len(scales) - 1}, not {index}")
    return scales[index]


def decode(
    network: Denoiser, teacher: Autoencoder, images: Tensor, scale: Scale, stored: Tensor | None
) -> Tensor:
    """Clean estimates (B, 3, side, side) of images (B, 3, R, R), for pictures; stored: their
    latents, if known."""
    x_e = downsample(images, scale)
    (noise,) = image_noise(0, range(len(images)), x_e.shape[-1:], images.device)
    latents = encode(teacher, images, stored)
    X_e = one_step(network, start_state(x_e, noise, scale), scale, latents)
    return clean_estimate(X_e, noise, scale)


def one_step(network: Denoiser, X_s: Tensor, scale: Scale, latents: Tensor) -> Tensor:
    """The end state X_e (B, 3, side, side) by one evaluation at the start state X_s."""
    return X_s - network.velocity(X_s, 1.0, scale, latents)


def losses(
    network: Denoiser,
    teacher: Autoencoder,
    images: Tensor,
    scale: Scale,
    settings: Distil,
    objective: Objective,
    stored: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss of a one-step denoiser X_s -> X_e, as scalars by name.

    images: (B, 3, R, R) in [-1, 1]. `mse_teacher` is the squared error to the teacher's end state
    divided by (1 - e)^2, which makes it an error of clean images, so that a weight means the same
    at every scale; `mse_real` is the squared error to the real images; the others are those of
    `Objective`.
    stored: latents of the images, if they were computed before.
    """
    x_e = downsample(images, scale)
    noise = torch.randn_like(x_e)
    X_s = start_state(x_e, noise, scale)
    latents = encode(teacher, images, stored)
    X_e = one_step(network, X_s, scale, latents)
    clean = clean_estimate(X_e, noise, scale)
    errors, made = {}, None
    if objective.needs_teacher:
        target = teach(teacher, latents, X_s, scale, settings)
        made = clean_estimate(target, noise, scale)
    if settings.mse_teacher:
        errors["mse_teacher"] = (X_e - target).square().mean() / (1 - scale.end) ** 2
    if settings.mse_real:
        errors["mse_real"] = (clean - x_e).square().mean()
    return objective(errors, clean, x_e, made)


@torch.no_grad()
def teach(
    teacher: Autoencoder, latents: Tensor, X_s: Tensor, scale: Scale, settings: Distil
) -> Tensor:
    """The guided teacher's end state X_e (B, 3, side, side), after its steps from X_s."""
    guidance = per_scale(settings.guidance, teacher.config.scales)[scale.index]
    velocity = teacher_velocity(teacher, latents)
    return euler(velocity, X_s, scale, settings.teacher_steps, guidance)
