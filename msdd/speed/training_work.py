"""The work of trainings.

A backward pass costs two forward passes, so training costs three; what is frozen (teacher, encoder
of a distillation) costs one. The optimiser counts nothing.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msdd.flow.steps import nfe, per_scale
from msdd.model.config import ModelConfig
from msdd.params.schema import Params
from msdd.params.sections import Distil
from msdd.pipeline import layout
from msdd.speed import costs, judges
from msdd.speed.rows import config_of
from msdd.speed.work import Work
from msdd.train.weight import weight_at

TRAINING = 3  # forward passes that a forward and a backward pass cost


def images(params: Params, model: str) -> str:
    """The job that makes what a training reads of images."""
    stored = params.latents_of(model)
    return f"latents@{stored}" if stored else "prepare"


def _encoding(config: ModelConfig) -> int:
    """FLOPs of the encoder in a training: none where its latents are stored."""
    return 0 if config.frozen else costs.encoder_flops(config)


def train(params: Params, row: str) -> Work:
    config, settings = config_of(params, row), params.stage1_of(row)
    sides = config.sides
    # Each image is trained at one scale; over many steps none has more than another.
    decoding = sum(costs.evaluation_flops(config, side) for side in sides) / len(sides)
    encoding = _encoding(config)
    flops = TRAINING * decoding + encoding * (1 if settings.encoder else TRAINING)
    if settings.lpips:  # of the images at the last scale
        flops += judges.lpips(settings.lpips_net, config.resolution, gradients=1) / len(sides)
    weights = costs.decoder_weights(config)
    weights += 0 if config.frozen else costs.encoder_weights(config)
    return _training(
        "train",
        row,
        {"model": row},
        layout.stage1(row),
        (images(params, row),),
        settings=settings,
        flops=flops,
        weights=weights,
        passes=TRAINING * (1 + len(sides)),
        blocks=costs.blocks(config),
    )


def _training(
    stage: str, name: str, wildcards: dict, artefact: Path, needs: tuple[str, ...], **more: Any
) -> Work:
    """A training by its `settings`; its checkpoint has `weights`, their average and two moments."""
    settings, weights = more.pop("settings"), more.pop("weights")
    more = {"numbers": weights} | more
    return Work(
        stage,
        name,
        wildcards,
        artefact,
        needs,
        images=settings.images,
        precision=settings.precision,
        batch=settings.microbatch or settings.batch,
        state=4 * weights,
        **more,
    )


def distil(params: Params, name: str, job: dict) -> Work:
    student, k = job["student"], job["scale"]
    config, settings = config_of(params, job["model"]), params.distil_of(student)
    flops = _encoding(config) + _step(config, settings, [k]) + _judged(config, settings, k)
    return _training(
        "distil",
        name,
        {"student": student, "scale": k},
        layout.scale(job["model"], student, k),
        (images(params, job["model"]), f"train@{job['model']}"),
        settings=settings,
        flops=flops,
        weights=costs.decoder_weights(config),
        passes=_passes(config, settings, [k]),
        blocks=costs.blocks(config),
    )


def _step(config: ModelConfig, settings: Distil, scales: list[int]) -> float:
    """FLOPs of a student trained through these scales, and of its teacher's steps in each."""
    taught: Sequence[float] = _taught(config, settings, scales)
    if settings.mode == "joint_paper_code":  # whose teacher begins at a random scale
        taught = [n * (1 - scale.last) for n, scale in zip(taught, config.flow, strict=True)]
    return sum((TRAINING + taught[k]) * _evaluation(config, k) for k in scales)


def _passes(config: ModelConfig, settings: Distil, scales: list[int]) -> int:
    """A step's work in passes of a network, with one pass of the encoder."""
    taught = _taught(config, settings, scales)
    return 1 + sum(TRAINING + taught[k] for k in scales)


def _evaluation(config: ModelConfig, k: int) -> int:
    return costs.evaluation_flops(config, config.sides[k])


def _taught(config: ModelConfig, settings: Distil, scales: list[int]) -> list[int]:
    """Evaluations of the teacher at each scale: none where nothing compares with its images. LPIPS
    sees those of the last of `scales`."""
    weight = weight_at(settings.lpips, config.sides, scales[-1])
    if not (settings.mse_teacher or weight and settings.lpips_to == "teacher"):
        return [0] * config.scales
    steps = 1 if settings.mode == "joint_paper_code" else settings.teacher_steps
    return [nfe([steps], [g]) for g in per_scale(settings.guidance, config.scales)]


def _judged(config: ModelConfig, settings: Distil, k: int) -> int:
    """LPIPS, Fréchet distance and discriminator at the scale whose images they see.

    The adversary's adaptive weight takes the gradients of the others once more.
    """
    side, judged = config.sides[k], bool(weight_at(settings.gan, config.sides, k))
    flops = judges.adversary(settings.discriminator, side) if judged else 0
    if weight_at(settings.lpips, config.sides, k):
        flops += judges.lpips(settings.lpips_net, side, gradients=1 + judged)
    if settings.frechet and weight_at(settings.frechet.weight, config.sides, k):
        flops += judges.frechet(settings.frechet.networks, again=judged)
    return flops


def student_weights(config: ModelConfig) -> int:
    return costs.encoder_weights(config) + config.scales * costs.decoder_weights(config)


def chains(params: Params, tables: dict) -> Iterator[Work]:
    for row, job in tables["chains"].items():
        config, settings = config_of(params, job["model"]), params.distil_of(row)
        count, start = config.scales, params.students[row].start
        needs = [images(params, job["model"]), f"train@{job['model']}"]
        needs += [f"assemble@{start}"] if start else []
        flops = _encoding(config) * (TRAINING if settings.train_encoder else 1)
        flops += _step(config, settings, list(range(count)))
        flops += _judged(config, settings, count - 1)
        networks = count if settings.mode == "finetune" else 1
        weights = networks * costs.decoder_weights(config)
        weights += costs.encoder_weights(config) if settings.train_encoder else 0
        yield _training(
            "chain",
            row,
            {"student": row},
            layout.assembled(job["model"], row),
            tuple(needs),
            settings=settings,
            flops=flops,
            weights=weights,
            numbers=student_weights(config),
            passes=_passes(config, settings, list(range(count))),
            blocks=costs.blocks(config),
        )
