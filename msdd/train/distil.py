"""Stage 2, per scale: a student makes in one evaluation what the teacher makes in several."""

from pathlib import Path

import torch
from torch import Tensor

from msdd.data.shards import Crops
from msdd.device import prepare_device
from msdd.errors import MsddError
from msdd.flow.path import clean_estimate, reduced, start_state
from msdd.flow.sampler import euler, per_scale
from msdd.flow.scales import Scale, scales
from msdd.model.autoencoder import Autoencoder, decoder_of
from msdd.model.denoiser import Denoiser
from msdd.params.schema import Params
from msdd.params.sections import Distil
from msdd.pipeline import layout
from msdd.pipeline.stages import task
from msdd.train.job import Job
from msdd.train.objective import Objective
from msdd.train.run_job import carry_out
from msdd.train.velocities import encode, teacher_velocity
from msdd.weights import model_folder
from msdd.weights.model_folder import load_teacher


def run(params: Params, student: str, scale: int, root: Path = Path(".")) -> dict[str, float]:
    """Distil the row `student` at `scale` into `runs/<model>/<student>/scale<k>`."""
    device = prepare_device(params.cpu_threads)
    settings, model = params.distil_of(student), params.model_row(student)
    source = layout.stage1(model)
    teacher = load_teacher(root / source).to(device)
    level = level_of(scale, teacher.config.scales, student)
    crops = Crops(root / layout.prepared(), "train", expect_resolution=teacher.config.resolution)
    network = decoder_of(teacher.config).to(device)
    network.load_state_dict(teacher.decoder.state_dict())
    objective = Objective(settings, teacher.config.sides, scale, network.last_layer, params.seed)
    inputs = [source / file for file in layout.MODEL_FILES]
    inputs.append(layout.prepared() / "manifest.json")
    job = Job(
        row=student,
        stage="distil",
        part=f"scale{scale}",
        folder=layout.scale(model, student, scale),
        network=network,
        losses=lambda images: losses(network, teacher, images, level, settings, objective),
        settings=settings,
        task=task("distil", params, inputs, root, student=student, scale=scale),
        export=lambda folder, state: model_folder.save(folder, "scale", teacher.config, state),
        teacher=teacher,
        adversary=objective.adversary,
    )
    return carry_out(job, params, crops, root)


def level_of(scale: int, count: int, student: str) -> Scale:
    if not 0 <= scale < count:
        raise MsddError(f"{student} has scales 0 to {count - 1}, not {scale}")
    return scales(count)[scale]


def losses(
    network: Denoiser,
    teacher: Autoencoder,
    images: Tensor,
    scale: Scale,
    settings: Distil,
    objective: Objective,
) -> dict[str, Tensor]:
    """Terms of the loss of a one-step denoiser X_s -> X_e for images (B, 3, R, R).

    The squared error to the teacher's end state is divided by (1 - e)^2, so that it is one of
    clean images and a weight means the same at every scale.
    """
    x_e = reduced(images, scale)
    noise = torch.randn_like(x_e)
    X_s = start_state(x_e, noise, scale)
    latents = encode(teacher, images)
    X_e = X_s - network.velocity(X_s, 1.0, scale, latents)
    clean = clean_estimate(X_e, noise, scale)
    errors, made = {}, None
    if objective.taught:
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
    """The guided teacher's end state from X_s, after its steps inside the scale."""
    guidance = per_scale(settings.guidance, teacher.config.scales)[scale.index]
    velocity = teacher_velocity(teacher, latents)
    return euler(velocity, X_s, scale, settings.teacher_steps, guidance)
