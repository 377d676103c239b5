"""Stage 2 through the chain of scales: students train on the states that they decode from.

`joint` trains one decoder for all scales from pure noise; `finetune` continues with the per-scale
denoisers of another student. Both decode in one step per scale, and the gradient passes through the
whole chain; with `train_encoder` on to the encoder.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from msdd.device import prepare_device
from msdd.flow.sampler import sample
from msdd.flow.scales import Scale
from msdd.flow.steps import per_scale
from msdd.model.autoencoder import Autoencoder, decoder_of
from msdd.params.sections import Distil
from msdd.pipeline import layout
from msdd.pipeline.task import Task
from msdd.train import joint_paper_code
from msdd.train.job import TrainingJob
from msdd.train.objective import Objective
from msdd.train.preview import Preview
from msdd.train.run_job import carry_out
from msdd.train.stored_latents import training_set
from msdd.train.velocities import (
    decoded,
    draw_noise,
    encode,
    one_step_chain,
    student_velocity,
    teacher_velocity,
)
from msdd.weights import model_folder
from msdd.weights.model_folder import load_decoders, load_teacher


def run(task: Task, root: Path = Path(".")) -> dict[str, float]:
    """Train the row `task.student` (mode joint, joint_paper_code or finetune) as a whole.

    Writes `runs/<model>/<student>`; returns its last losses by term. Raises MsddError for a teacher
    or a student to begin with that is missing, and as `stage1.run` does.
    """
    device, settings = prepare_device(task.cpu_threads), task.distil
    encoder = model_folder.of_encoder(model_folder.read(root / layout.stage1(task.model)))
    teacher = load_teacher(root / layout.stage1(task.model)).to(device)
    network = decoders(task, teacher, root).to(device).requires_grad_(True)
    crops = training_set(task, teacher.config, root)
    sides = teacher.config.sides
    trained = nn.ModuleDict({"decoders": network})
    if settings.train_encoder:
        trained["encoder"] = teacher.encoder.requires_grad_(True)
    layer = network[-1].last_layer
    objective = Objective(settings, sides, len(sides) - 1, layer, task.seed)
    of_mode = joint_paper_code.losses if settings.mode == "joint_paper_code" else losses
    job = TrainingJob(
        task=task,
        stage=settings.mode,
        part="",
        folder=layout.assembled(task.model, task.student),
        network=trained,
        losses=lambda images, stored: of_mode(
            network, teacher, images, settings, objective, stored
        ),
        settings=settings,
        export=lambda folder, state: export(
            folder, state, len(network), encoder, teacher, settings.noise
        ),
        preview=Preview(
            network,
            settings,
            crops,
            root / layout.prepared(),
            partial(decode, network, teacher, settings.noise),
        ),
        teacher=teacher,
        adversary=objective.adversary,
        frechet=objective.frechet,
    )
    return carry_out(job, crops, root)


def decoders(task: Task, teacher: Autoencoder, root: Path) -> nn.ModuleList:
    """What training begins with: the decoders of the student `task.start`, or the teacher's."""
    if task.distil.mode == "finetune":
        return load_decoders(root / layout.assembled(task.model, task.start))
    network = nn.ModuleList([decoder_of(teacher.config)])
    network[0].load_state_dict(teacher.decoder.state_dict())
    return network


def export(
    folder: Path,
    state: dict[str, Tensor],
    trained: int,
    encoder: dict[str, Tensor],
    teacher: Autoencoder,
    noise: str,
) -> None:
    """Write a student's folder: an encoder, and a decoder for each scale.

    state:   the weights of `trained` decoders, `decoders.<k>.<name>`, of which scale i gets decoder
             i % trained; and those of the encoder, if it was trained.
    encoder: the weights of the teacher's, `encoder.<name>`. noise: what it was trained with.
    """
    tensors = encoder | {name: state[name] for name in state if name.startswith("encoder.")}
    for k in range(teacher.config.scales):
        part = f"decoders.{k % trained}."
        of_scale = {name.removeprefix(part): state[name] for name in state if name.startswith(part)}
        # copies, because safetensors refuses tensors that share memory
        tensors |= {f"decoders.{k}.{name}": x.clone() for name, x in of_scale.items()}
    model_folder.save(folder, "student", teacher.config, tensors, noise)


def decode(
    network: nn.ModuleList,
    teacher: Autoencoder,
    noise: str,
    images: Tensor,
    stored: Tensor | None,
) -> Tensor:
    """Reconstructions of images (B, 3, R, R), for pictures; stored: their latents, if known."""
    velocity = student_velocity(network, encode(teacher, images, stored))
    return decoded(velocity, images, teacher.config, 1, noise)


def losses(
    network: nn.ModuleList,
    teacher: Autoencoder,
    images: Tensor,
    settings: Distil,
    objective: Objective,
    stored: Tensor | None = None,
) -> dict[str, Tensor]:
    """Terms of the loss of a one-step chain, as scalars by name.

    images: (B, 3, R, R) in [-1, 1]. `mse_teacher` is `chain_error` to the end states of the
    teacher's guided chain from the same noise; the other terms compare the last image.
    """
    sides = teacher.config.sides
    latents = encode(teacher, images, stored, settings.train_encoder)
    normals = draw_noise(images, sides, settings.noise)
    states = one_step_chain(network, latents, normals)
    errors, made = {}, None
    if objective.needs_teacher:
        steps = [settings.teacher_steps] * len(sides)
        guidance = per_scale(settings.guidance, len(sides))
        with torch.no_grad():
            targets = sample(
                teacher_velocity(teacher, latents), teacher.config.flow, normals, steps, guidance
            )
        made = targets[-1]
    if settings.mse_teacher:
        errors["mse_teacher"] = chain_error(states, targets, teacher.config.flow)
    if settings.mse_real:
        errors["mse_real"] = (states[-1] - images).square().mean()
    return objective(errors, states[-1], images, made)


def chain_error(states: list[Tensor], targets: list[Tensor], scales: Sequence[Scale]) -> Tensor:
    """Sum over scales of the squared error of end states, each divided by (1 - e)^2, a scalar.

    The division makes it an error of clean images, so that every scale counts alike.
    """
    pairs = zip(scales, states, targets, strict=True)
    return sum((x - y).square().mean() / (1 - scale.end) ** 2 for scale, x, y in pairs)
